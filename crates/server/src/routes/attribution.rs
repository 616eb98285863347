//! Attribution of revenue to channels.

use axum::Json;
use rollbook_app::attribution::{self, Attributed, Model, Question};
use rollbook_model::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Authorized;
use crate::api::scalars::{Amount, Length, Moment, Time};
use crate::http::extract::Body;
use crate::problem::Problem;

/// Options of an attribution run.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "models": ["first", "last", "linear", "time-decay"], "by": "channel",
    "from": "2025-10-01", "to": "2026-01-01", "lookback": "30d", "half_life": "7d",
    "as_of": "2026-01-01T00:00:00Z"
}))]
pub(crate) struct AttributionRun {
    /// The attribution models; all by default.
    #[schema(value_type = Option<std::collections::BTreeSet<AttributionModel>>, max_items = 4)]
    models: Option<Vec<String>>,
    /// What to credit; `channel` by default.
    #[schema(value_type = Option<Credited>)]
    by: Option<String>,
    /// Conversions from this moment on.
    #[schema(value_type = Option<Moment>, example = "2025-10-01")]
    from: Option<Moment>,
    /// Conversions before this moment.
    to: Option<Moment>,
    /// Lookback window before a conversion in which touches count; `30d` by default.
    #[schema(value_type = Option<Length>)]
    lookback: Option<String>,
    /// Half-life of the weight of a touch; `7d` by default.
    #[schema(value_type = Option<Length>)]
    half_life: Option<String>,
    /// The moment to compute as of; now by default.
    as_of: Option<Moment>,
}

/// How a conversion is divided among the touches before it.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "models are parsed by name; this is their schema")]
pub(crate) enum AttributionModel {
    First,
    Last,
    Linear,
    TimeDecay,
}

/// What is credited.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "it is parsed by name; this is its schema")]
pub(crate) enum Credited {
    Channel,
}

/// Credits. For every model, the rows add up to `booked`. Amounts are text with four decimals.
#[derive(Serialize, ToSchema)]
pub(crate) struct Credits {
    #[schema(value_type = Time)]
    as_of: Timestamp,
    snapshot: u64,
    currency: Option<String>,
    #[schema(value_type = Length)]
    lookback: String,
    #[schema(value_type = Length)]
    half_life: String,
    /// Booked revenue, before refunds.
    #[schema(value_type = Amount)]
    booked: String,
    /// Refunds of it.
    #[schema(value_type = Amount)]
    refunded: String,
    conversions: u64,
    /// Conversions left out because there is no exchange rate for their currency and day.
    unconverted: u64,
    /// Amounts converted by the exchange rate of an earlier day.
    earlier_rate: u64,
    /// Conversions that are linked to no person; they are unattributed.
    not_linked: u64,
    rows: Vec<Credit>,
}

/// The credit of one channel by one model.
#[derive(Serialize, ToSchema)]
pub(crate) struct Credit {
    #[schema(value_type = AttributionModel)]
    model: &'static str,
    /// `unattributed` for conversions without a touch.
    channel: String,
    #[schema(value_type = Amount)]
    conversions: String,
    #[schema(value_type = Amount)]
    value: String,
    /// Share of `booked`, 0 to 1.
    share: f64,
}

impl AttributionRun {
    fn question(&self) -> Result<Question, Problem> {
        let invalid = |code: &'static str| {
            move |error: &dyn std::fmt::Display| {
                Problem::new(
                    axum::http::StatusCode::UNPROCESSABLE_ENTITY,
                    code,
                    error.to_string(),
                )
            }
        };
        let mut question = Question::default();
        if let Some(models) = &self.models {
            let parsed: Result<Vec<Model>, _> = models.iter().map(|name| name.parse()).collect();
            question.models = parsed.map_err(|error| invalid("unknown_model")(&error))?;
        }
        if let Some(by) = &self.by {
            question.by = by.parse().map_err(|error| invalid("unknown_by")(&error))?;
        }
        let span = |text: &Option<String>, default: Span, code| match text {
            Some(text) => text.parse().map_err(|error| invalid(code)(&error)),
            None => Ok(default),
        };
        question.lookback = span(&self.lookback, question.lookback, "invalid_lookback")?;
        question.half_life = span(&self.half_life, question.half_life, "invalid_half_life")?;
        Ok(question)
    }
}

impl From<Attributed> for Credits {
    fn from(attributed: Attributed) -> Self {
        let report = attributed.report;
        let rows = report.rows.into_iter().map(|row| Credit {
            model: row.model.name(),
            channel: row.channel,
            conversions: row.conversions.to_string(),
            value: row.value.to_string(),
            share: row.share,
        });
        Self {
            as_of: report.as_of,
            snapshot: attributed.snapshot.0,
            currency: report.currency,
            lookback: report.question.lookback.to_string(),
            half_life: report.question.half_life.to_string(),
            booked: report.booked.to_string(),
            refunded: report.refunded.to_string(),
            conversions: report.conversions,
            unconverted: report.unconverted,
            earlier_rate: report.earlier_rate,
            not_linked: report.not_linked,
            rows: rows.collect(),
        }
    }
}

/// Credits conversions to the channels of earlier touches
#[utoipa::path(post, path = "/v1/attribution/runs", operation_id = "run_attribution", tag = "attribution", request_body = AttributionRun,
    responses((status = 200, body = Credits)))]
pub(super) async fn run(
    Authorized(server): Authorized,
    Body(run): Body<AttributionRun>,
) -> Result<Json<Credits>, Problem> {
    let mut question = run.question()?;
    for (end, given) in [(&mut question.from, run.from), (&mut question.to, run.to)] {
        if given.is_some() {
            *end = Some(server.moment(given).await?);
        }
    }
    let as_of = server.moment(run.as_of).await?;
    let attributed = server.compute(move |server| async move {
        attribution::run(server.workspace(), &question, as_of).await
    });
    Ok(Json(attributed.await?.into()))
}
