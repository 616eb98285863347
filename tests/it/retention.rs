//! Retention: what is too old goes from everywhere, and nothing else changes. Requests of persons, and their
//! consents.

mod consents;
mod interruptions;
mod persons;
mod random;
mod requests;
mod rows;
mod shop;
