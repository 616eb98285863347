//! The arguments of `audit`.

use clap::{Args, Subcommand};
use rollbook_app::access::KeyPrefix;
use rollbook_app::audit::DEFAULT_ACTS;
use rollbook_model::GivenTime;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Audit {
    /// Only acts from then on: 2026-01-01, 2026-01-01T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<GivenTime>,
    /// Only acts before then
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<GivenTime>,
    /// Only acts of the holder of this key, named by its prefix
    #[arg(long, value_name = "PREFIX")]
    pub(crate) who: Option<KeyPrefix>,
    /// Only the newest acts, this many
    #[arg(long, value_name = "N", default_value_t = DEFAULT_ACTS)]
    pub(crate) limit: usize,
    #[command(subcommand)]
    pub(crate) command: Option<AuditCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Verify that no record was changed, removed, added or cut off
    Verify,
}
