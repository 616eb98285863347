//! From text to a checked statement: limits, parsing, names, and errors with their place in the text.

pub(crate) mod behaviour_names;
pub(crate) mod check;
pub(crate) mod diagnosis;
mod dialect;
pub(crate) mod limits;
pub(crate) mod literals;
pub(crate) mod mapping;
mod namesakes;
pub(crate) mod parameters;
pub(crate) mod parsing;
pub(crate) mod statement;
pub(crate) mod texts;
pub(crate) mod type_names;
pub(crate) mod without_literals;
pub(crate) mod written_names;
