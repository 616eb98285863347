//! Retention: what is too old goes from everywhere, and nothing else changes.

mod interruptions;
mod persons;
mod random;
mod rows;
mod shop;
