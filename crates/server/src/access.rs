//! Access: each request is checked in one place, before anything of it is read.

mod audited;
mod authorized;
mod begun;
mod check;
mod credentials;
mod limited;
pub(crate) mod notes;
mod route_rights;

pub(crate) use audited::{audit, end as end_audit};
pub(crate) use authorized::Authorized;
pub(crate) use begun::record_begun;
pub(crate) use check::{RIGHTS_HEADER, TENANT_HEADER, check, rights_header};
pub(crate) use limited::count_body;
