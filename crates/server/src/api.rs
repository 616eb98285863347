//! Scalars and answers of the API, and the OpenAPI document made from them.

pub(crate) mod answers;
pub(crate) mod document;
pub(crate) mod scalars;
