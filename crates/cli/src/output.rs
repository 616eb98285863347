//! Output on the terminal: tables, JSON, CSV, progress, errors.

mod next_step;
pub(crate) mod progress;
pub(crate) mod report_error;
pub(crate) mod show;
mod visible;
