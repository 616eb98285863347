//! Worker processes: each answers one request at a time under a memory limit.

pub(crate) mod memory;
pub(crate) mod pool;
pub(crate) mod process;
pub(crate) mod waiting;
