//! SQL over one tenant at one snapshot as of one moment: read only and within limits. All
//! DataFusion sessions of the workspace are created here.

mod cache;
mod coercion;
mod criteria;
mod error;
mod functions;
mod opaque;
mod operators;
mod query_pool;
mod rewriting;
mod session;
mod sql;
mod tables;
mod threads;
mod times;
mod wrapped_errors;

#[cfg(test)]
mod tests;

pub use cache::PeopleCache;
pub use criteria::analysis::Needs;
pub use criteria::behaviour::TimeDependency;
pub use criteria::clauses::{Atom, Clause, Comparison};
pub use criteria::condition::{Condition, PersonQuery};
pub use criteria::cost_class::{CostClass, cost_class};
/// The type of the functions that decrypt personal values.
pub use datafusion::logical_expr::ScalarUDF;
pub use error::{EngineError, Position};
pub use functions::Uncomputed;
pub use session::affected::AffectedQuery;
pub use session::config::mapping_session;
pub use session::rows::Rows;
pub use session::snapshot_delta::SnapshotDelta;
pub use session::sorted::{Batches, in_order};
pub use session::transitions::{Beside, Found, Lookup, Next, Transitions};
pub use session::{Answer, Session, SessionOptions};
pub use sql::mapping::{plan_select, rows_where};
pub use sql::parameters::{Parameter, Parameters};
pub use sql::parsing::texts_parsed;
pub use sql::statement::is_select;
pub use sql::without_literals::without_literals;
pub use tables::as_of::{Decrypt, DecryptError, TableSource, VaultSource};
pub use tables::custom_traits::CustomTrait;
pub use tables::traits::{columns_of_people, is_column_of_people};
pub use threads::spawn_detached;
