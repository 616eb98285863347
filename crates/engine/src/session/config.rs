//! The limits and settings that every DataFusion session of ours shares.

use std::path::PathBuf;
use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::common::config::{ConfigNonZeroUsize, SpillCompression};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::prelude::{SessionConfig, SessionContext};
use rollbook_model::config::{BATCH_ROWS, Limits};

use crate::coercion::arithmetic::Arithmetic;
use crate::coercion::comparisons::ComparableTypes;
use crate::coercion::subqueries::SoundSubqueries;
use crate::coercion::windows::SoundWindows;
use crate::error::EngineError;
use crate::functions;
use crate::operators::pushdown::physical_rules;
use crate::query_pool::query_pool;
use crate::sql::limits::MOST_NESTING;
use crate::times::with_times;

/// A session for running mappings over source files: the limits of `limits`, one partition, so
/// that rows keep the order in which they were read, and the function `json_object`.
///
/// # Errors
/// [`EngineError::Setup`] where the folder for spilling cannot be made.
pub fn mapping_session(
    limits: Limits,
    spill_dir: Option<PathBuf>,
) -> Result<SessionContext, EngineError> {
    // A time that a mapping parses names no zone: the mapping's own is applied where it is cast.
    let config = config().with_target_partitions(1);
    let state = state(config, &limits, spill_dir);
    let state = state.and_then(|state| with_times(state, None));
    let state = state.map_err(setup)?;
    Ok(SessionContext::new_with_state(state))
}

/// A state with our functions, without tables.
pub(crate) fn state(
    config: SessionConfig,
    limits: &Limits,
    spill_dir: Option<PathBuf>,
) -> Result<SessionState> {
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime(limits, spill_dir)?)
        .with_default_features()
        .with_physical_optimizer_rules(physical_rules())
        .with_analyzer_rules(vec![
            Arc::new(ComparableTypes),
            Arc::new(ResolveGroupingFunction::new()),
            Arc::new(SoundWindows),
            Arc::new(TypeCoercion::new()),
            Arc::new(SoundSubqueries),
            Arc::new(functions::CheckedArithmetic),
        ])
        .build();
    state.register_expr_planner(Arc::new(Arithmetic))?;
    let sum = functions::CheckedSum::sum(state.udaf("sum")?);
    state.register_udaf(Arc::new(AggregateUDF::from(sum)))?;
    let avg = functions::CheckedSum::avg(state.udaf("avg")?);
    state.register_udaf(Arc::new(AggregateUDF::from(avg)))?;
    for name in functions::REMOVED {
        state.deregister_udf(name)?;
    }
    for function in functions::own_functions() {
        state.register_udf(Arc::new(function))?;
    }
    for name in functions::BOUNDED {
        let unbounded = state.udf(name)?;
        let bounded = ScalarUDF::from(functions::Bounded::new(unbounded));
        state.register_udf(Arc::new(bounded))?;
    }
    Ok(state)
}

/// The settings of a session on the calendar of a zone.
pub(crate) fn config_in(zone: Tz) -> SessionConfig {
    let mut config = config();
    config.options_mut().execution.time_zone = Some(zone.name().to_owned());
    config
}

/// Settings that differ from DataFusion's own.
fn config() -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_batch_size(BATCH_ROWS)
        .with_information_schema(false);
    let options = config.options_mut();
    options.execution.enable_recursive_ctes = false;
    // Tables that are worth it come in ranges of persons; dealing out the rows of the others, or
    // those of a range again, costs their order and more than it gives.
    options.optimizer.enable_round_robin_repartition = false;
    // Ranges of persons serve whatever is grouped by person and something else.
    options.optimizer.subset_repartition_threshold = 1;
    // What is spilled is read back soon: disks are slower than this compression.
    options.execution.spill_compression = SpillCompression::Lz4Frame;
    options.sql_parser.collect_spans = true;
    // Amounts are decimals; a float is beside most of them.
    options.sql_parser.parse_float_as_decimal = true;
    // What a query casts to a text is given out: as a view it would have to be converted.
    options.sql_parser.map_string_types_to_utf8view = false;
    // Nesting is limited by our own count; the parser spends several levels on each parenthesis.
    if let Ok(limit) = ConfigNonZeroUsize::try_new(8 * MOST_NESTING) {
        options.sql_parser.recursion_limit = limit;
    }
    config
}

pub(crate) fn setup(source: DataFusionError) -> EngineError {
    EngineError::Setup {
        source: Box::new(source),
    }
}

fn runtime(limits: &Limits, spill_dir: Option<PathBuf>) -> Result<Arc<RuntimeEnv>> {
    let spill = match spill_dir {
        Some(folder) => DiskManagerMode::Directories(vec![folder]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    RuntimeEnvBuilder::new()
        .with_memory_pool(query_pool(limits))
        .with_disk_manager_builder(
            DiskManagerBuilder::default()
                .with_mode(spill)
                .with_max_temp_directory_size(limits.disk),
        )
        .build_arc()
}
