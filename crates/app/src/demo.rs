//! Demo: ingests the sample business, then computes six segments, scores and attribution.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type, Schema, TimeUnit};
use rollbook_engine::{Answer, Parameter};
use rollbook_ingest::Progress;
use rollbook_model::{BatchId, ProviderName, Timestamp};
use rollbook_queries::questions;
use rollbook_segments::Draft;

use crate::attribution::{self, Attributed, Question};
use crate::ingest::{Ingest, Ingested, ingest};
use crate::scores::{self, Explanation, ScoreKind, ScoreModel};
use crate::segments::{self, Outcome};
use crate::{AppError, Workspace, data, persons};

/// The tenant of the demo, which keeps it apart from other data.
pub const TENANT: &str = "demo";

const SAMPLE: [(&str, &[u8]); 13] = [
    (
        "activities.csv",
        include_bytes!("../../../data/sample/activities.csv"),
    ),
    (
        "campaign_spend.csv",
        include_bytes!("../../../data/sample/campaign_spend.csv"),
    ),
    (
        "campaigns.csv",
        include_bytes!("../../../data/sample/campaigns.csv"),
    ),
    (
        "deals.csv",
        include_bytes!("../../../data/sample/deals.csv"),
    ),
    (
        "fx_rates.csv",
        include_bytes!("../../../data/sample/fx_rates.csv"),
    ),
    (
        "order_lines.csv",
        include_bytes!("../../../data/sample/order_lines.csv"),
    ),
    (
        "orders.csv",
        include_bytes!("../../../data/sample/orders.csv"),
    ),
    (
        "organizations.csv",
        include_bytes!("../../../data/sample/organizations.csv"),
    ),
    (
        "persons.csv",
        include_bytes!("../../../data/sample/persons.csv"),
    ),
    (
        "pipelines.csv",
        include_bytes!("../../../data/sample/pipelines.csv"),
    ),
    (
        "products.csv",
        include_bytes!("../../../data/sample/products.csv"),
    ),
    (
        "refunds.csv",
        include_bytes!("../../../data/sample/refunds.csv"),
    ),
    (
        "tickets.csv",
        include_bytes!("../../../data/sample/tickets.csv"),
    ),
];

/// The segments: key, name, purpose, criteria.
const SEGMENTS: [[&str; 4]; 6] = [
    [
        "big-spenders",
        "Big spenders",
        "thank them, ask them for a review",
        "total_spent >= 1000",
    ],
    [
        "lapsed",
        "Lapsed customers",
        "win them back",
        "paid_order_count >= 2 and last_order_at < now() - interval '180 days'",
    ],
    [
        "new-leads",
        "Recent leads without an order",
        "welcome them",
        "order_count = 0 and created_at >= now() - interval '60 days'",
    ],
    [
        "engaged-by-mail",
        "Clicked a mail lately, and may be mailed",
        "tell them first about new products",
        "select person_id from people where accepts_email_marketing and person_id in (select person_id from activities where type = 'email_clicked' and occurred_at >= now() - interval '90 days')",
    ],
    [
        "deals-worth-a-call",
        "Open deals of 5,000 and more",
        "call them this week",
        "open_deal_value >= 5000",
    ],
    [
        "needs-care",
        "Good customers with an open ticket",
        "answer them first",
        "open_ticket_count > 0 and total_spent > 0",
    ],
];

/// Results of the demo.
#[derive(Debug)]
pub struct Demo {
    /// The end of the sample data, which everything is computed for.
    pub as_of: Timestamp,
    /// Result of the ingest.
    pub ingested: Ingested,
    /// The segments in order, with their best customers.
    pub segments: Vec<DemoSegment>,
    /// Attribution of revenue.
    pub attributed: Attributed,
    /// The model of lead scores.
    pub lead_model: ScoreModel,
    /// The leads with the highest scores, explained.
    pub best_leads: Vec<BestLead>,
}

/// A lead with one of the highest scores.
#[derive(Debug)]
pub struct BestLead {
    /// Their name.
    pub name: String,
    /// The explanation of their score.
    pub explanation: Explanation,
}

/// Number of leads to show.
const BEST_LEADS: usize = 3;

/// A segment of the demo.
#[derive(Debug)]
pub struct DemoSegment {
    /// Its key.
    pub key: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What a marketer would use it for.
    pub purpose: &'static str,
    /// Its criteria.
    pub criteria: &'static str,
    /// Result of its refresh.
    pub outcome: Outcome,
    /// Its three customers with the highest revenue: `person_id, display_name, country, total_spent`.
    pub best: Answer,
}

/// Runs the demo in `workspace`. A second run finds all rows unchanged.
///
/// # Errors
/// Temporary files or the lake cannot be written; a query exceeds a limit.
pub async fn demo(
    workspace: &Workspace,
    batch: BatchId,
    now: Timestamp,
    progress: &Progress,
) -> Result<Demo, AppError> {
    workspace.require("demo::demo")?;
    let folder = tempfile::tempdir().map_err(|source| AppError::TemporaryFolder { source })?;
    write_sample(folder.path()).map_err(|source| AppError::TemporaryFolder { source })?;
    let run = Ingest {
        provider: "native".parse::<ProviderName>().expect("the name is valid"),
        paths: vec![folder.path().to_owned()],
        standard_input: None,
        mappings: None,
        dry_run: false,
        batch,
        at: now,
    };
    let ingested = ingest(workspace, run, progress).await?;
    let as_of = last_event(workspace).await?;
    let mut keys = Vec::new();
    for [key, name, purpose, criteria] in SEGMENTS {
        let key = key.parse().expect("the key is valid");
        let (name, description) = (Some(name.to_owned()), Some(purpose.to_owned()));
        let draft = Draft {
            name,
            description,
            ..Draft::new(key, criteria.to_owned())
        };
        keys.push(segments::put(workspace, &draft, now).await?.key);
    }
    let outcomes = segments::refresh(workspace, &keys, as_of, now, false).await?;
    let most = [("most", Parameter::Int(3))];
    let best = data::own_query(workspace, questions::BEST_MEMBERS, &most, as_of).await?;
    let mut shown = Vec::new();
    for ([key, name, purpose, criteria], outcome) in SEGMENTS.into_iter().zip(outcomes) {
        let best = best_of(&best, key)?;
        shown.push(DemoSegment {
            key,
            name,
            purpose,
            criteria,
            outcome,
            best,
        });
    }
    let attributed = attribution::run(workspace, &Question::default(), as_of).await?;
    scores::train(workspace, ScoreKind::Churn, as_of, now).await?;
    scores::run(workspace, ScoreKind::Churn, as_of, now, 0).await?;
    let lead_model = scores::train(workspace, ScoreKind::Lead, as_of, now).await?;
    let best_leads = best_leads(workspace, as_of, now).await?;
    Ok(Demo {
        as_of,
        ingested,
        segments: shown,
        attributed,
        lead_model,
        best_leads,
    })
}

async fn best_leads(
    workspace: &Workspace,
    as_of: Timestamp,
    now: Timestamp,
) -> Result<Vec<BestLead>, AppError> {
    let run = scores::run(workspace, ScoreKind::Lead, as_of, now, BEST_LEADS).await?;
    let mut leads = Vec::new();
    for lead in run.highest {
        let person = persons::show(workspace, lead.person_id, as_of, false)
            .await?
            .person;
        let name = person["display_name"].as_str().unwrap_or("(no name)");
        leads.push(BestLead {
            name: name.to_owned(),
            explanation: scores::explain(workspace, ScoreKind::Lead, lead.person_id, as_of).await?,
        });
    }
    Ok(leads)
}

fn write_sample(folder: &Path) -> std::io::Result<()> {
    for (name, content) in SAMPLE {
        std::fs::write(folder.join(name), content)?;
    }
    Ok(())
}

/// The time of the newest fact in the lake.
async fn last_event(workspace: &Workspace) -> Result<Timestamp, AppError> {
    // Later than any fact of the sample.
    let end = Timestamp::from_micros(7_258_118_400_000_000);
    let answer = data::own_query(workspace, questions::LAST_EVENT, &[], end).await?;
    let at = answer.batches.first().and_then(|batch| {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let micros = cast(&cast(batch.column(0), &micros).ok()?, &DataType::Int64).ok()?;
        micros.as_primitive::<Int64Type>().iter().next().flatten()
    });
    Ok(at.map_or(end, Timestamp::from_micros))
}

/// The rows of one segment in `best`, without the key column.
fn best_of(best: &Answer, key: &str) -> Result<Answer, AppError> {
    let failed = |source| AppError::Rows { source };
    let mut batches = Vec::new();
    for batch in &best.batches {
        let of_key = StringArray::new_scalar(key);
        let own = eq(batch.column(0), &of_key).map_err(failed)?;
        let rows = filter_record_batch(batch, &own).map_err(failed)?;
        let columns: Vec<usize> = (1..rows.num_columns()).collect();
        batches.push(rows.project(&columns).map_err(failed)?);
    }
    let fields = best.schema.fields().iter().skip(1).cloned();
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Ok(Answer {
        schema,
        batches,
        truncated: best.truncated,
    })
}
