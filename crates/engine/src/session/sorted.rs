//! Rows of a table in an order, sorted with spilling to disk unless they come in it.

use std::pin::Pin;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::error::{DataFusionError, Result};
use datafusion::prelude::ident;
use futures::{Stream, TryStreamExt};
use rollbook_model::config::Limits;

use crate::error::EngineError;
use crate::query_pool::exhausted;
use crate::session::config::mapping_session;

/// Batches that come one after the other until the first error.
pub type Batches = Pin<Box<dyn Stream<Item = Result<RecordBatch, EngineError>> + Send>>;

/// All rows of `table` in ascending order of `columns`, nulls first.
///
/// # Errors
/// The limits of memory and disk; storage.
pub async fn in_order(
    limits: Limits,
    table: Arc<dyn TableProvider>,
    columns: &[&str],
) -> Result<Batches, EngineError> {
    let failed = move |source: DataFusionError| match source.find_root() {
        DataFusionError::ResourcesExhausted(message) => exhausted(message, &limits),
        _ => EngineError::Storage {
            source: Box::new(source),
        },
    };
    let context = mapping_session(limits, None)?;
    let order = columns
        .iter()
        .map(|name| ident(*name).sort(true, true))
        .collect();
    let sorted = context
        .read_table(table)
        .and_then(|rows| rows.sort(order))
        .map_err(failed)?;
    let stream = sorted.execute_stream().await.map_err(failed)?;
    Ok(Box::pin(stream.map_err(failed)))
}
