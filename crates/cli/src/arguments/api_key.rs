//! The arguments of `api-key`.

use clap::{Args, Subcommand};
use rollbook_app::access::{KeyPrefix, Right, Role};
use rollbook_app::segments::Channel;
use rollbook_model::{SegmentKey, Span, TenantName};

#[derive(Debug, Subcommand)]
pub(crate) enum ApiKey {
    /// Create a key and print its token, which is shown only this once
    ///
    /// From the first key on, every request to a server of this lake needs one.
    Create(NewApiKey),
    /// List the keys of the lake: what they may do, when they end, when they were last used
    List,
    /// Give a key a new token; the one before works for a while more
    Rotate {
        /// The prefix of the key, as `api-key list` shows it
        prefix: KeyPrefix,
        /// How long the token before still works: 7d, 12h, 1s
        #[arg(long, value_name = "TIME", default_value = "7d")]
        overlap: Span,
    },
    /// Revoke a key for good, on all servers of the lake within a second
    Revoke {
        /// The prefix of the key, as `api-key list` shows it
        prefix: KeyPrefix,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewApiKey {
    /// A name for people, such as the program that uses the key
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// viewer, marketer, analyst, operator or admin; docs/SECURITY.md says what each may do
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Role,
    /// Rights beyond those of the role, comma-separated, such as pii,erase
    #[arg(long, value_name = "RIGHTS", value_delimiter = ',')]
    pub(crate) rights: Vec<Right>,
    /// The tenants that the key is for, comma-separated [default: the one of --tenant]
    #[arg(long, value_name = "TENANTS", value_delimiter = ',')]
    pub(crate) tenants: Vec<TenantName>,
    /// Bind the key to these segments, comma-separated: nothing else is visible, and there is no SQL
    #[arg(long, value_name = "SEGMENTS", value_delimiter = ',')]
    pub(crate) segments: Vec<SegmentKey>,
    /// Bind the key to segments with one of these tags, comma-separated
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    pub(crate) tags: Vec<String>,
    /// Bind the key to segments of these channels, comma-separated: email, sms
    #[arg(long, value_name = "CHANNELS", value_delimiter = ',')]
    pub(crate) channels: Vec<Channel>,
    /// Bind the key to these columns of persons, comma-separated: others are masked
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
    /// A key for a trial: `serve --trial-rows-per-hour` limits the rows that it sends and gets
    #[arg(long)]
    pub(crate) trial: bool,
    /// When the key ends, counted from now: 90d, 12h [default: never]
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<Span>,
}
