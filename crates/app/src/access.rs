//! Access: API keys, JWT, sessions, roles and rights. Who may do what is decided here and nowhere else.

mod authenticator;
mod bounds;
mod grant;
mod jwt;
mod keys;

mod record;
pub mod rights;
mod scram;
mod sessions;
mod token;
mod use_cases;

pub use authenticator::Authenticator;
pub use bounds::Bounds;
pub use grant::{Caller, Grant};
pub use jwt::{InvalidSource, JwksError, JwksSource, JwtIssuer, JwtOptions};
pub use keys::{ApiKeys, IssuedKey, NewKey};
pub use record::{KeyInfo, KeyStatus};
pub use rights::{Right, Rights, Role};
pub use sessions::IssuedSession;
pub use token::KeyPrefix;
pub(crate) use use_cases::require;
