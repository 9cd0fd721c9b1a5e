//! What every room stands on; rests on nothing of ours.
