//! Times in SQL: microseconds, years 1 to 9999, on the calendar of the tenant's time zone.
//!
//! Tables show their times in the tenant's zone, which costs nothing, since the stored instant does
//! not depend on the zone. Results are shown in UTC.

use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::ScalarUDF;

mod at_zone;
mod clocks;
mod conversions;
mod now;
mod plus;
mod rules;
mod table;
mod to_timestamp;
mod trunc;
mod zoned;

pub(crate) use at_zone::rewrite_at_time_zone;
pub(crate) use clocks::{Clocks, Interval};
pub(crate) use table::{column_in_zone, table_in_zone};
pub(crate) use zoned::{UTC, field_in_zone, in_zone, schema_in_zone};

/// A state that computes times in microseconds. Texts without a zone belong to `zone`; without a
/// `zone` they have none.
///
/// # Errors
/// An error of DataFusion where a function cannot be registered.
pub(crate) fn with_times(state: SessionState, zone: Option<Tz>) -> Result<SessionState> {
    let name: Option<Arc<str>> = zone.map(|zone| zone.name().into());
    let mut rules = state.analyzer().rules.clone();
    if let Some(zone) = zone {
        rules.insert(0, Arc::new(rules::AssignTenantZone(zone)));
    }
    rules.push(Arc::new(rules::CastInMicros(zone)));
    let mut state = SessionStateBuilder::new_from_existing(state)
        .with_analyzer_rules(rules)
        .with_type_planner(Arc::new(zoned::TimeTypes { zone: name }))
        .build();
    for function in ["to_timestamp", "from_unixtime"] {
        let formatted = state.udf("to_timestamp_micros")?;
        let function = to_timestamp::ToTimestamp::new(function, zone, formatted);
        state.register_udf(Arc::new(ScalarUDF::from(function)))?;
    }
    let inner = state.udf("date_trunc")?;
    let trunc = trunc::DateTrunc::new(zone, inner);
    state.register_udf(Arc::new(ScalarUDF::from(trunc)))?;
    let inner = state.udf("date_bin")?;
    let bin = trunc::DateBin::new(zone, inner);
    state.register_udf(Arc::new(ScalarUDF::from(bin)))?;
    state.register_udf(Arc::new(ScalarUDF::from(now::Now::new(zone))))?;
    // Its name promises nanoseconds.
    state.deregister_udf("to_timestamp_nanos")?;
    Ok(state)
}
