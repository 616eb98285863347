//! HTTP server: parses requests, calls use cases, encodes answers.

mod access;
mod answered;
mod api;
mod http;
mod isolation;
mod limits;
mod network;
mod problem;
mod request_id;
mod router;
mod routes;
mod serve;
mod state;
mod tasks;
mod work;
mod workers;

pub use limits::{CallRate, InvalidCallRate, ServeLimits, TRIAL_ROWS_PER_HOUR};
pub use network::{InvalidProxyNetwork, NetworkOptions, ProxyNetwork, TlsError, TlsFiles};
pub use serve::{Listening, ServeError};
pub use state::Options;
pub use work::work;
pub use workers::process::Program;
