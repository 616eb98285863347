//! Options of a session.

use std::path::PathBuf;
use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use rollbook_model::Timestamp;
use rollbook_model::config::Limits;

/// Options of a session.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// The moment that `now()` gives; later facts are hidden.
    pub as_of: Timestamp,
    /// The tenant's currency, ISO 4217, in which traits are reported.
    pub currency: Option<String>,
    /// The zone of the tenant's calendar.
    pub zone: Tz,
    /// Days for which a rate of a currency stands where none follows.
    pub fx_days: u16,
    /// What each query may use. Memory and disk are shared by the session's queries.
    pub limits: Limits,
    /// Where sorts and aggregates spill to; a temporary folder of the system's without it.
    pub spill_dir: Option<PathBuf>,
    /// Whether queries may ask for personal columns.
    pub personal: bool,
    /// Rules for the physical plan that those who give the tables want to come last.
    pub rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>,
}
