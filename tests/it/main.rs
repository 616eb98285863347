//! Integration tests of the program, in one binary so that it is linked only once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cli;
mod durability;
mod house;
mod http;
mod identity;
mod ingest;
mod oracle;
mod retention;
mod segments;
mod support;
