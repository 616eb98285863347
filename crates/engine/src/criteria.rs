//! Conditions on `people`: behaviour functions, the names in them, and what their text tells.

pub(crate) mod analysis;
pub(crate) mod behaviour;
pub(crate) mod names;
pub(crate) mod tame;
