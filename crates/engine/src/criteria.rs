//! Conditions on `people`: parsing them, their clauses, behaviour functions, the names in them, and
//! what their text says about cost and time.

pub(crate) mod analysis;
pub(crate) mod behaviour;
pub(crate) mod clauses;
pub(crate) mod condition;
pub(crate) mod cost_class;
pub(crate) mod names;
