//! Whole conversations with the program, in one binary so that it links once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod absent;
mod attribution;
mod bad_input;
mod bucket;
mod calendar;
mod clock;
mod crash;
mod cursors;
mod cut;
mod decided;
mod differential;
mod disk;
mod erasure;
mod faulty_store;
mod filters;
mod households;
mod http;
mod identity;
mod keys;
mod kills;
mod linking;
mod malformed;
mod numbers;
mod odd_records;
mod olist;
mod ordered;
mod other_tools;
mod outside;
mod own_lake;
mod patches;
mod places;
mod power_cut;
mod profile;
mod readers;
mod retention;
mod scores;
mod shopify;
mod sync;
mod taking_in;
mod tidy;
mod traits;
mod truth;
mod words;
mod writers;
