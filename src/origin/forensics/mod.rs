//! What the kernel can tell of the origin's process, field by field.
