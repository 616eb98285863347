//! The arguments of `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use rollbook_model::config;
use rollbook_server::{CallRate, InvalidCallRate, ProxyNetwork, TRIAL_ROWS_PER_HOUR};

use crate::arguments::Jwt;

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The address to listen on; one beyond this machine needs --tls-cert or --trusted-proxies
    #[arg(long, value_name = "ADDRESS", default_value = config::DEFAULT_LISTEN)]
    pub(crate) listen: SocketAddr,
    /// A PEM file with the certificate of the server and those that vouch for it; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// A PEM file with the private key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Addresses of the proxies that encrypt connections, comma-separated: 10.0.0.5,10.1.0.0/16
    ///
    /// The address of a client is the last one in `x-forwarded-for` that is none of these.
    #[arg(long, value_name = "CIDRS", value_delimiter = ',')]
    pub(crate) trusted_proxies: Vec<ProxyNetwork>,
    /// Calls of one API key, and of one address without a valid key, in so many seconds; 0 for no limit
    #[arg(long, value_name = "CALLS/SECONDS", default_value = config::SERVE_RATE_LIMIT)]
    pub(crate) rate_limit: RateLimit,
    /// Requests of one API key that may run at once
    #[arg(long, value_name = "REQUESTS", default_value_t = config::SERVE_REQUESTS_PER_KEY, value_parser = at_least_one)]
    pub(crate) requests_per_key: usize,
    /// Rows that a trial key may send and get in an hour; 0 for no limit
    #[arg(long, value_name = "ROWS", default_value_t = TRIAL_ROWS_PER_HOUR)]
    pub(crate) trial_rows_per_hour: u32,
    /// A folder of custom mappings, with one subfolder per provider
    #[arg(long, value_name = "DIR")]
    pub(crate) mappings: Option<PathBuf>,
    /// Maximum bytes of a request body with rows
    #[arg(long, value_name = "BYTES", default_value_t = config::SERVE_BODY_BYTES)]
    pub(crate) body_bytes: u64,
    /// Maximum seconds to receive a request body
    #[arg(long, value_name = "SECONDS", default_value_t = config::SERVE_BODY_SECONDS)]
    pub(crate) body_seconds: u64,
    #[command(flatten)]
    pub(crate) jwt: Jwt,
}

/// A rate of calls, or no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateLimit(pub(crate) Option<CallRate>);

impl FromStr for RateLimit {
    type Err = InvalidCallRate;

    fn from_str(text: &str) -> Result<Self, InvalidCallRate> {
        match text {
            "0" => Ok(Self(None)),
            rate => Ok(Self(Some(rate.parse()?))),
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "it is a number from 1 on".to_owned())
}
