//! The answer to a query.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::Session;
use crate::error::EngineError;
use crate::session::request::Request;
use crate::sql::parameters::{Parameters, values};
use crate::sql::written_names::named_as_written;

/// The whole answer to a query, within the row limit.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
    /// Whether there were more rows than the limit; the further ones are left out.
    pub truncated: bool,
}

impl Answer {
    /// The same, its unnamed columns called as `sql` writes them.
    fn named_as_written(self, sql: &str) -> Self {
        let Some(schema) = named_as_written(&self.schema, sql) else {
            return self;
        };
        let mut batches = Vec::with_capacity(self.batches.len());
        for batch in &self.batches {
            let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            match RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &rows) {
                Ok(batch) => batches.push(batch),
                Err(_) => return self,
            }
        }
        Self {
            schema,
            batches,
            truncated: self.truncated,
        }
    }
}

impl Session {
    /// Runs one query and gives its rows, up to the row limit; unnamed columns as they are written.
    ///
    /// # Errors
    /// As [`Session::stream`].
    pub async fn query(&self, sql: &str) -> Result<Answer, EngineError> {
        let answer = self.answer(Request::Query(sql.to_owned(), None)).await?;
        Ok(answer.named_as_written(sql))
    }

    /// Runs a text of our own with values for its `$names`; rows up to the row limit.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn query_with(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Answer, EngineError> {
        let values = Some(values(parameters, self.options.zone));
        self.answer(Request::Query(sql.to_owned(), values)).await
    }

    async fn answer(&self, request: Request) -> Result<Answer, EngineError> {
        let limit = self.options.limits.rows;
        let mut rows = self.start(request).await?;
        let mut answer = Answer {
            schema: Arc::clone(rows.schema()),
            batches: Vec::new(),
            truncated: false,
        };
        let mut count = 0;
        while let Some(batch) = rows.next_batch().await? {
            let room = limit - count;
            if batch.num_rows() > room {
                answer.batches.push(batch.slice(0, room));
                answer.truncated = true;
                break;
            }
            count += batch.num_rows();
            answer.batches.push(batch);
        }
        Ok(answer)
    }
}
