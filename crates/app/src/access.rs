//! Access: API keys, roles and rights. Who may do what is decided here and nowhere else.

mod authenticator;
mod grant;
mod keys;
mod record;
pub mod rights;
mod scram;
mod token;

pub use authenticator::Authenticator;
pub use grant::Grant;
pub use keys::{ApiKeys, IssuedKey, NewKey};
pub use record::{KeyInfo, KeyStatus};
pub use rights::{Right, Rights, Role};
pub use token::KeyPrefix;
