//! Which records are one human being: values in the form that identifies, exact rules over a set
//! of records, and a score for pairs that no exact rule finds.
//!
//! Nothing here reads or writes a lake: values come in, decisions go out.

pub mod files;
pub mod normalise;
pub mod resolve;
pub mod score;
pub mod shared;
pub mod token;
