//! Encryption of personal values: AES-256-GCM-SIV with keys of identities, of tenants, and a master key.

pub(crate) mod authentication;
pub(crate) mod command;
pub(crate) mod key_pages;
pub(crate) mod master;
pub(crate) mod seal;
