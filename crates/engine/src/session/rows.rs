//! The rows of a running query, as they come.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::{displayable, execute_stream};
use futures::{Stream, StreamExt, stream};
use rollbook_model::config::Limits;
use tokio::sync::mpsc;

use crate::error::EngineError;
use crate::opaque::Opaque;
use crate::session::plan::plan;
use crate::session::request::Request;
use crate::sql::texts;
use crate::threads::Running;

/// What the query's thread yields: the columns first, then the rows.
enum Part {
    Schema(SchemaRef),
    Batch(RecordBatch),
}

/// Rows on their way. Dropping it stops the query.
pub struct Rows {
    schema: SchemaRef,
    running: Running<Part>,
    limit: Duration,
    left: Duration,
}

impl Rows {
    pub(crate) async fn start(
        state: Opaque<SessionState>,
        request: Request,
        limits: Limits,
    ) -> Result<Self, EngineError> {
        let running = Running::start(move |parts| run(state, request, limits, parts))?;
        let schema = Arc::new(arrow::datatypes::Schema::empty());
        let mut rows = Self {
            schema,
            running,
            limit: limits.time,
            left: limits.time,
        };
        match rows.next_part().await? {
            Some(Part::Schema(schema)) => rows.schema = schema,
            Some(Part::Batch(_)) | None => return Err(EngineError::WorkerPanicked),
        }
        Ok(rows)
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// The limits of memory, disk and time; values that cannot be computed with; storage.
    pub async fn next_batch(&mut self) -> Result<Option<RecordBatch>, EngineError> {
        loop {
            match self.next_part().await? {
                Some(Part::Batch(batch)) if batch.num_rows() == 0 => {}
                Some(Part::Batch(batch)) => return Ok(Some(batch)),
                Some(Part::Schema(_)) | None => return Ok(None),
            }
        }
    }

    /// The rows as a stream of batches, which ends after the first error.
    pub fn into_stream(
        self,
    ) -> Pin<Box<dyn Stream<Item = Result<RecordBatch, EngineError>> + Send>> {
        let batches = stream::unfold(Some(self), |rows| async {
            let mut rows = rows?;
            match rows.next_batch().await {
                Ok(Some(batch)) => Some((Ok(batch), Some(rows))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Box::pin(batches)
    }

    async fn next_part(&mut self) -> Result<Option<Part>, EngineError> {
        let asked = Instant::now();
        let next = self.running.next(self.left).await;
        self.left = self.left.saturating_sub(asked.elapsed());
        match next {
            None => Err(EngineError::TimeExhausted { limit: self.limit }),
            Some(part) => part.transpose(),
        }
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// How a request would be run: the physical plan, one operator a line.
pub(crate) async fn explain(
    state: Opaque<SessionState>,
    request: Request,
    limits: Limits,
) -> Result<String, EngineError> {
    let mut running = Running::start(move |plans| async move {
        let planned = plan(&state, &request, &limits).await;
        let text = planned.map(|(plan, _)| displayable(plan.as_ref()).indent(false).to_string());
        // Nobody listens any more when sending fails; there is nothing left to do then.
        let _ = plans.send(text).await;
    })?;
    match running.next(limits.time).await {
        Some(Some(plan)) => plan,
        Some(None) => Err(EngineError::WorkerPanicked),
        None => Err(EngineError::TimeExhausted { limit: limits.time }),
    }
}

async fn run(
    state: Opaque<SessionState>,
    request: Request,
    limits: Limits,
    parts: mpsc::Sender<Result<Part, EngineError>>,
) {
    let (plan, diagnosis) = match plan(&state, &request, &limits).await {
        Ok(planned) => planned,
        Err(error) => {
            // Nobody listens any more when sending fails; there is nothing left to do then.
            let _ = parts.send(Err(error)).await;
            return;
        }
    };
    let mut batches = match execute_stream(plan, state.task_ctx()) {
        Ok(batches) => batches,
        Err(error) => {
            let _ = parts.send(Err(diagnosis.explain(error))).await;
            return;
        }
    };
    let schema = texts::plain_schema(&batches.schema());
    let begun = Part::Schema(Arc::clone(&schema));
    if parts.send(Ok(begun)).await.is_err() {
        return;
    }
    while let Some(batch) = batches.next().await {
        let part = batch
            .and_then(|batch| Ok(texts::plain(&batch, &schema)?))
            .map(Part::Batch)
            .map_err(|error| diagnosis.explain(error));
        let failed = part.is_err();
        if parts.send(part).await.is_err() || failed {
            return;
        }
    }
}
