//! Identity resolution: normal forms of values, exact rules over a set of records, and a probabilistic score
//! for pairs that no exact rule links.
//!
//! Pure computation: values in, decisions out. Nothing reads or writes a lake.

pub mod files;
pub mod normalise;
pub mod resolve;
pub mod score;
pub mod shared;
pub mod token;
