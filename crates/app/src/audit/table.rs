//! The table `audit` of SQL: the acts in one tenant.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion_catalog::TableProvider;
use datafusion_catalog::streaming::StreamingTable;
use datafusion_common::DataFusionError;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::streaming::PartitionStream;
use futures::stream;
use rollbook_lake::Store;
use rollbook_model::{TenantName, Timestamp};

use crate::audit::act::Act;
use crate::audit::read::{ActFilter, ActReader};

/// `audit(at, caller, address, request_id, act, segment, person_id, key, about, columns, rows, statement,
/// statement_code, result, unlisted)`: the acts in a tenant up to a moment. They are read as a whole, object by object.
pub(crate) fn audit_table(
    store: Store,
    tenant: TenantName,
    as_of: Timestamp,
) -> Arc<dyn TableProvider> {
    let after = Timestamp::from_micros(as_of.micros().saturating_add(1));
    let acts: Arc<dyn PartitionStream> = Arc::new(Acts {
        schema: schema(),
        store,
        filter: ActFilter {
            tenant: Some(tenant),
            until: Some(after),
            ..ActFilter::default()
        },
    });
    let table = StreamingTable::try_new(schema(), vec![acts]);
    Arc::new(table.expect("the part has the table's columns"))
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![
        Field::new("at", time, false),
        text("caller", false),
        text("address", true),
        text("request_id", true),
        text("act", false),
        text("segment", true),
        number("person_id"),
        text("key", true),
        text("about", true),
        text("columns", true),
        number("rows"),
        text("statement", true),
        text("statement_code", true),
        text("result", false),
        number("unlisted"),
    ]))
}

#[derive(Debug)]
struct Acts {
    schema: SchemaRef,
    store: Store,
    filter: ActFilter,
}

impl PartitionStream for Acts {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reader = ActReader::new(self.store.clone(), self.filter.clone());
        let batches = stream::try_unfold(reader, |mut reader| async move {
            let found = reader.next(None).await;
            let found = found.map_err(|error| DataFusionError::External(error.into()))?;
            let Some(found) = found else {
                return Ok(None);
            };
            let acts: Vec<Act> = found.into_iter().map(|found| found.act).collect();
            Ok(Some((rows(&acts)?, reader)))
        });
        let schema = Arc::clone(&self.schema);
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}

fn rows(acts: &[Act]) -> Result<RecordBatch, DataFusionError> {
    let texts = |of: fn(&Act) -> Option<String>| -> ArrayRef {
        Arc::new(acts.iter().map(of).collect::<StringArray>())
    };
    let numbers = |of: fn(&Act) -> Option<i64>| -> ArrayRef {
        Arc::new(acts.iter().map(of).collect::<Int64Array>())
    };
    let times = acts.iter().map(|act| act.at.micros());
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times),
        texts(|act| Some(act.caller.to_string())),
        texts(|act| act.from.map(|from| from.to_string())),
        texts(|act| act.request_id.clone()),
        texts(|act| Some(act.act.clone())),
        texts(|act| act.segment.clone()),
        numbers(|act| act.person_id),
        texts(|act| act.key.clone()),
        texts(|act| act.about.clone()),
        texts(|act| act.columns.clone()),
        numbers(|act| signed(act.rows)),
        texts(|act| act.statement.as_ref()?.text.clone()),
        texts(|act| Some(act.statement.as_ref()?.code.clone())),
        texts(|act| Some(act.result.clone())),
        numbers(|act| signed(act.unlisted)),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

fn signed(count: Option<u64>) -> Option<i64> {
    count.and_then(|count| i64::try_from(count).ok())
}
