//! Rows from the output of a mapping to the tables of the lake: cast (`canonical`), staged (`stage`),
//! completed (`fill`), given their ids (`identities`), compared with the lake and written (`upsert`).

pub(crate) mod canonical;
pub(crate) mod contact_ids;
mod existing;
pub(crate) mod file_columns;
mod file_counts;
pub(crate) mod fill;
pub(crate) mod fingerprint;
pub(crate) mod identities;
pub(crate) mod identity;
pub(crate) mod missing_columns;
pub(crate) mod order_references;
mod sort;
pub(crate) mod stage;
pub(crate) mod table_order;
pub(crate) mod unknown_statuses;
pub(crate) mod upsert;
pub(crate) mod value_warnings;
