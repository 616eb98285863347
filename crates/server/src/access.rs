//! Access: each request is checked in one place, before anything of it is read.

mod authorized;
mod check;
mod credentials;
mod route_rights;

pub(crate) use authorized::Authorized;
pub(crate) use check::{RIGHTS_HEADER, check, rights_header};
