//! AES-256-GCM-SIV under keys of identities, of tenants and of the master key.

pub(crate) mod key_pages;
pub(crate) mod master;
pub(crate) mod seal;
