//! Multi-touch attribution: credits revenue to channels by several models, exactly.

mod credit;
mod error;
mod model;
mod report;

pub use credit::run;
pub use error::AttributionError;
pub use model::{By, Model, Question};
pub use report::{Amount, CreditRow, Report, UNATTRIBUTED};
