//! Which records are one person, what is decided about persons, and how they are erased.

mod ambiguous_records;
mod erasure;
mod erasure_and_undo;
mod households;
mod link_command;
mod lists_and_suppressions;
mod personal_properties;
mod profile;
mod resolution;
