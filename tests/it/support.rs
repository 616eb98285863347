//! Helpers that the tests share: a lake, a server, polling with a deadline.

pub(crate) mod openapi;
pub(crate) mod own_lake;
pub(crate) mod personal_values;
pub(crate) mod polling;
pub(crate) mod raw_files;
pub(crate) mod records;
pub(crate) mod server;
pub(crate) mod tls;
pub(crate) mod usage;
pub(crate) mod writes;
