//! DataFusion sessions: one tenant at one snapshot, seen from one moment, read only and within
//! limits. Sessions are made here and nowhere else.

mod affected;
mod arithmetic;
mod behaviour;
mod cache;
mod clauses;
mod comparing;
mod complexity;
mod counting;
mod custom_traits;
mod diagnosis;
mod dialect;
mod environment;
mod error;
mod faults;
mod functions;
mod golden_record;
mod intervals;
mod lazy_views;
mod literals;
mod mapping;
mod merging;
mod namesakes;
mod opaque;
mod ordering;
mod parameter;
mod parsing;
mod people;
mod plain_types;
mod planning;
mod pushing;
mod rows;
mod session;
mod statement;
mod subqueries;
mod table;
mod tame;
mod texts;
mod threads;
mod times;
mod traits;
mod turning;
mod view;
mod walk;
mod windows;
mod written_names;

#[cfg(test)]
mod tests;

pub use affected::AffectedQuery;
pub use behaviour::TimeDependency;
pub use cache::{PeopleCache, SnapshotDelta};
pub use clauses::{Atom, Clause, Comparison};
pub use custom_traits::CustomTrait;
/// What opens sealed values.
pub use datafusion::logical_expr::ScalarUDF;
pub use environment::mapping_session;
pub use error::{EngineError, Position};
pub use functions::Uncomputed;
pub use mapping::{plan_select, rows_where};
pub use ordering::{Batches, in_order};
pub use parameter::{Parameter, Parameters};
pub use parsing::texts_parsed;
pub use planning::Needs;
pub use rows::Rows;
pub use session::{Answer, Session, SessionOptions};
pub use statement::is_select;
pub use table::{Decrypt, OpeningError, TableSource, VaultSource};
pub use tame::{Tame, tame};
pub use threads::spawn_detached;
pub use traits::{columns_of_people, is_column_of_people};
pub use turning::{Beside, Found, Lookup, Next, Turning};
