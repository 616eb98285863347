//! The options of a session.

use std::path::PathBuf;
use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use rollbook_model::Timestamp;
use rollbook_model::config::Limits;

/// Options of a session.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// The moment that the session looks from: the value of `now()`. Later facts are hidden.
    pub as_of: Timestamp,
    /// The tenant's currency, ISO 4217; traits convert amounts to it.
    pub currency: Option<String>,
    /// The time zone of the tenant's calendar.
    pub zone: Tz,
    /// The number of days for which an exchange rate is valid if no newer rate follows.
    pub fx_days: u16,
    /// The limits of each query. The queries of a session share memory and disk.
    pub limits: Limits,
    /// The folder that sorts and aggregates spill to; `None` for a temporary folder of the
    /// operating system.
    pub spill_dir: Option<PathBuf>,
    /// Whether queries may read personal columns.
    pub personal: bool,
    /// Rules for the physical plan that run after all others; the crate that provides the tables
    /// gives them.
    pub rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>,
}
