//! DataFusion sessions: one tenant at one snapshot, seen from one moment, read only and within
//! limits. Sessions are made here and nowhere else.

mod arithmetic;
mod behaviour;
mod clauses;
mod comparing;
mod complexity;
mod counting;
mod diagnosis;
mod dialect;
mod due;
mod environment;
mod error;
mod faults;
mod functions;
mod intervals;
mod lazy_views;
mod literals;
mod mapping;
mod merging;
mod namesakes;
mod ordering;
mod own_traits;
mod parameter;
mod people;
mod plain_types;
mod planning;
mod pushing;
mod resident;
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
mod unified;
mod view;
mod windows;
mod written_names;

#[cfg(test)]
mod tests;

pub use behaviour::Clock;
pub use clauses::{Atom, Clause, Comparison};
/// What opens sealed values.
pub use datafusion::logical_expr::ScalarUDF;
pub use due::Due;
pub use environment::mapping_session;
pub use error::{EngineError, Position};
pub use functions::Uncomputed;
pub use mapping::{plan_select, rows_where};
pub use ordering::{Batches, in_order};
pub use own_traits::OwnTrait;
pub use parameter::{Parameter, Parameters};
pub use planning::Needs;
pub use resident::{Resident, Since};
pub use rows::Rows;
pub use session::{Answer, Session, SessionOptions};
pub use statement::is_select;
pub use table::{OpeningError, Opens, TableSource, VaultSource};
pub use tame::{Tame, tame};
pub use threads::aside;
pub use traits::{columns_of_people, is_column_of_people};
pub use turning::{Beside, Found, Lookup, Next, Turning};
