//! The table `scores`: the current scores of all kinds, by current person ids.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_catalog::TableProvider;
use datafusion_catalog::streaming::StreamingTable;
use datafusion_common::DataFusionError;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::streaming::PartitionStream;
use futures::stream;
use rollbook_lake::{Lake, LakeTable, State};

use crate::ScoringError;
use crate::score_kind::ScoreKind;
use crate::store::{ScoresHead, current_scores, rows, schema};

/// The current scores of all kinds:
/// `scores(kind text, person_id bigint, score double, probability double)`.
///
/// # Errors
/// An entry of the snapshot that cannot be parsed.
pub fn scores_table(lake: &Lake, state: &State) -> Result<Arc<dyn TableProvider>, ScoringError> {
    let mut heads = Vec::new();
    for kind in [ScoreKind::Lead, ScoreKind::Churn] {
        match current_scores(state, kind) {
            Ok(head) => heads.push(head),
            Err(ScoringError::NotScored { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if heads
        .iter()
        .all(|head| head.has_same_ids(state.person_redirects_path()))
    {
        let files = heads.into_iter().map(|head| (head.path, head.bytes));
        let files: Vec<_> = files.collect();
        return Ok(Arc::new(LakeTable::of_objects(lake, schema(), &files)));
    }
    let parts = heads.into_iter().map(|head| -> Arc<dyn PartitionStream> {
        Arc::new(RemappedScores {
            schema: schema(),
            lake: lake.clone(),
            head,
            gone: state.person_redirects_path().map(str::to_owned),
        })
    });
    let table = StreamingTable::try_new(schema(), parts.collect());
    Ok(Arc::new(table.expect("all parts have the table's columns")))
}

/// The scores of one kind, computed before some persons were merged or erased; remapped when read.
#[derive(Debug)]
struct RemappedScores {
    schema: SchemaRef,
    lake: Lake,
    head: ScoresHead,
    gone: Option<String>,
}

impl PartitionStream for RemappedScores {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (lake, head, gone) = (self.lake.clone(), self.head.clone(), self.gone.clone());
        let all = async move {
            let scored = head.read(&lake, gone.as_deref()).await;
            let scored = scored.map_err(|error| DataFusionError::External(error.into()))?;
            Ok(rows(head.kind, &scored)?)
        };
        let schema = Arc::clone(&self.schema);
        Box::pin(RecordBatchStreamAdapter::new(schema, stream::once(all)))
    }
}
