//! The arguments of `tenant`.

use clap::{Args, Subcommand};
use rollbook_app::QuotaChange;
use rollbook_model::TenantName;

#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Create a tenant
    ///
    /// Its data are in a folder of their own, encrypted under a key of their own. `api-key create --tenants NAME`
    /// creates keys for it. A tenant is also created by its first rows; it then has no quotas.
    Create {
        /// The name: up to 64 of a-z, 0-9, `_` and `-`
        name: TenantName,
        #[command(flatten)]
        quotas: QuotaArguments,
    },
    /// List the tenants of the lake with their quotas and what they use
    List,
    /// Change the quotas of a tenant; those that are not named stay
    Limit {
        /// The name
        name: TenantName,
        #[command(flatten)]
        quotas: QuotaArguments,
    },
    /// Refuse the callers of a tenant, on all servers of the lake within a second; its data stay
    Suspend {
        /// The name
        name: TenantName,
    },
    /// End the suspension of a tenant
    Resume {
        /// The name
        name: TenantName,
    },
    /// Delete a tenant for good: its keys first, so that no copy of its personal values can be read, then all its data
    ///
    /// Its name is not used again. Backups are not touched: their personal values can be read with the master key.
    Delete {
        /// The name
        name: TenantName,
        /// Really delete it
        #[arg(long)]
        yes: bool,
    },
}

/// Quotas as they are given: `none` takes one away.
#[derive(Debug, Args)]
pub(crate) struct QuotaArguments {
    /// GiB that its objects may have; rows are refused while it is reached [or `none`]
    #[arg(long, value_name = "N", value_parser = limit)]
    storage_gib: Option<Limit>,
    /// Rows that may be ingested on one day in UTC [or `none`]
    #[arg(long, value_name = "N", value_parser = limit)]
    rows_per_day: Option<Limit>,
    /// Requests that may compute at the same time on one server; others wait [or `none`]
    #[arg(long, value_name = "N", value_parser = limit)]
    queries: Option<Limit>,
    /// MiB of memory that one query may use [or `none`]
    #[arg(long, value_name = "N", value_parser = limit)]
    query_mib: Option<Limit>,
    /// Segments that it may have [or `none`]
    #[arg(long, value_name = "N", value_parser = limit)]
    segments: Option<Limit>,
}

/// A limit; `None` for none.
#[derive(Debug, Clone, Copy)]
struct Limit(Option<u32>);

fn limit(text: &str) -> Result<Limit, String> {
    if text == "none" {
        return Ok(Limit(None));
    }
    match text.parse() {
        Ok(number) if number > 0 => Ok(Limit(Some(number))),
        _ => Err("give a whole number from 1, or `none`".to_owned()),
    }
}

impl QuotaArguments {
    /// The change that they ask for.
    pub(crate) fn change(&self) -> QuotaChange {
        let times = |limit: Option<Limit>, unit: u64| {
            limit.map(|Limit(limit)| limit.map(|number| u64::from(number) * unit))
        };
        QuotaChange {
            storage_bytes: times(self.storage_gib, 1 << 30),
            rows_per_day: times(self.rows_per_day, 1),
            queries: self.queries.map(|Limit(limit)| limit),
            memory_bytes: times(self.query_mib, 1 << 20),
            segments: times(self.segments, 1),
        }
    }
}
