//! Computing the credits, and checking them against the booked revenue.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Int64Type};
use rollbook_engine::{Parameter, Session};
use rollbook_queries::attribution::{BOOKED, CREDITS};

use crate::error::AttributionError;
use crate::model::{Model, Question};
use crate::report::{Amount, CreditRow, Report, UNATTRIBUTED};

/// A channel named `unattributed`, distinguished from the row of conversions without a touch.
const NAMED_UNATTRIBUTED: &str = "unattributed (channel)";

/// Credits of one channel by all models.
struct ChannelCredits {
    name: Option<String>,
    /// Value and conversions, in the order of [`Model::ALL`].
    credits: [(Amount, Amount); 4],
}

/// Credits the conversions of a period to the channels of earlier touches.
///
/// A touch counts if it is in `(conversion - lookback, conversion]`. Touches at the same moment are ordered by
/// provider and id. The credits of one conversion are differences of rounded cumulative shares, so they add up
/// to its value exactly. Amounts have four decimals, in the tenant's currency.
///
/// # Errors
/// [`AttributionError::EmptyTime`]; [`AttributionError::RepeatedModel`]; a query exceeds its memory, disk or
/// time limit, or the lake cannot be read; [`AttributionError::Unbalanced`] if credits do not add up to the
/// booked revenue.
pub async fn run(session: &Session, question: &Question) -> Result<Report, AttributionError> {
    if let (Some(from), Some(to)) = (question.from, question.to)
        && from >= to
    {
        return Err(AttributionError::EmptyTime { from, to });
    }
    for (at, model) in question.models.iter().enumerate() {
        if question.models[..at].contains(model) {
            let model = model.name();
            return Err(AttributionError::RepeatedModel { model });
        }
    }
    let currency = session.currency().map(str::to_owned);
    let times = [
        ("currency", Parameter::Text(currency.clone())),
        ("as_of", Parameter::Time(Some(session.as_of()))),
        ("from", Parameter::Time(question.from)),
        ("to", Parameter::Time(question.to)),
    ];
    let booked = session.query_with(BOOKED, &times).await?;
    let booked = booked.batches.first();
    let count = |name: &str| booked.map_or(0, |row| number(row, name, 0).unsigned_abs());
    let money = |name: &str| {
        let amount = booked.map(|row| row[name].as_primitive::<Decimal128Type>().value(0));
        // decimal(19,4) has 19 digits, which fit.
        Amount::from_units(amount.map_or(0, |units| i64::try_from(units).unwrap_or(i64::MAX)))
    };
    let half_life = question.half_life.micros() as f64;
    let mut parameters = times.to_vec();
    parameters.push(("lookback", Parameter::Span(question.lookback.duration())));
    parameters.push(("half_life_micros", Parameter::Float(half_life)));
    let mut channels = Vec::new();
    let mut rows = session.stream_with(CREDITS, &parameters).await?;
    while let Some(batch) = rows.next_batch().await? {
        channels.extend((0..batch.num_rows()).map(|row| channel(&batch, row)));
    }
    let mut report = Report {
        question: question.clone(),
        as_of: session.as_of(),
        currency,
        booked: money("booked"),
        refunded: money("refunded"),
        conversions: count("conversions"),
        unconverted: count("unconverted"),
        earlier_rate: count("earlier_rate"),
        not_linked: count("not_linked"),
        rows: Vec::new(),
    };
    for model in &question.models {
        let rows = of_model(*model, &channels, report.booked);
        check_balance(*model, &rows, &report)?;
        report.rows.extend(rows);
    }
    Ok(report)
}

fn channel(batch: &RecordBatch, row: usize) -> ChannelCredits {
    let names = batch["channel"].as_string::<i32>();
    let credits = ["first", "last", "linear", "decay"].map(|model| {
        let amount =
            |column: &str| Amount::from_units(number(batch, &format!("{model}_{column}"), row));
        (amount("value"), amount("conversions"))
    });
    ChannelCredits {
        name: names.is_valid(row).then(|| names.value(row).to_owned()),
        credits,
    }
}

fn number(batch: &RecordBatch, column: &str, row: usize) -> i64 {
    batch[column].as_primitive::<Int64Type>().value(row)
}

/// The rows of one model, highest value first, then the row `unattributed`, which always exists.
fn of_model(model: Model, channels: &[ChannelCredits], booked: Amount) -> Vec<CreditRow> {
    let at = Model::ALL.iter().position(|one| *one == model);
    let at = at.expect("all models are in the list of all models");
    let row = |channel: String, (value, conversions): (Amount, Amount)| CreditRow {
        model,
        channel,
        conversions,
        value,
        share: value.share_of(booked),
    };
    let named = channels.iter().filter_map(|channel| {
        let name = match channel.name.as_deref()? {
            UNATTRIBUTED => NAMED_UNATTRIBUTED,
            name => name,
        };
        Some(row(name.to_owned(), channel.credits[at]))
    });
    let mut rows: Vec<CreditRow> = named.collect();
    rows.sort_by(|a, b| (b.value, &a.channel).cmp(&(a.value, &b.channel)));
    let without = channels.iter().find(|channel| channel.name.is_none());
    let without = without.map_or_else(Default::default, |channel| channel.credits[at]);
    rows.push(row(UNATTRIBUTED.to_owned(), without));
    rows
}

fn check_balance(
    model: Model,
    rows: &[CreditRow],
    report: &Report,
) -> Result<(), AttributionError> {
    let value: Amount = rows.iter().map(|row| row.value).sum();
    let conversions: Amount = rows.iter().map(|row| row.conversions).sum();
    let expected = report.conversions.cast_signed().saturating_mul(10_000);
    if value == report.booked && conversions.units() == expected {
        return Ok(());
    }
    Err(AttributionError::Unbalanced {
        model: model.name(),
        credited: format!("{value} ({conversions} conversions)"),
        booked: format!("{} ({} conversions)", report.booked, report.conversions),
    })
}
