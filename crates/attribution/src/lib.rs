//! Journeys to credits: what the money came from, by model and channel, exact to the cent.

mod credit;
mod error;
mod model;
mod report;

pub use credit::run;
pub use error::AttributionError;
pub use model::{By, Model, Question};
pub use report::{Amount, CreditRow, Report, UNATTRIBUTED};
