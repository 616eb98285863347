//! The rules that the sources keep: floors, short files, no circles.

mod circles;
mod tidy;
