//! Linking of records to persons, decisions about persons, and erasure.

mod ambiguous_records;
mod erasure;
mod erasure_and_undo;
mod households;
mod link_command;
mod lists_and_suppressions;
mod personal_properties;
mod profile;
mod resolution;
