//! The bundled origin web server, an ordinary program that happens to live in our binary.
