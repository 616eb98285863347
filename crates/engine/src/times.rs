//! Times in SQL: instants in microseconds, from year 1 to 9999, on a calendar that is the tenant's.
//!
//! Tables give their times in the tenant's zone, which costs nothing: an instant is stored the same
//! in every zone. What is given out is in UTC again.

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

/// A state whose times are in microseconds: on the calendar of a zone, or without one, where texts
/// name none.
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
    // It counts in nanoseconds by its name.
    state.deregister_udf("to_timestamp_nanos")?;
    Ok(state)
}
