//! The rules of the source tree: floors, short files, no circles.

mod circles;
mod tidy;
