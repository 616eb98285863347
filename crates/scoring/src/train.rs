//! Training: learn from earlier cut-offs, test on the last one, fall back to fixed weights.

use std::collections::HashSet;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use rollbook_engine::{Parameter, Session};
use rollbook_model::{SnapshotNumber, Span, Timestamp};
use rollbook_queries::scoring::{BUYERS, FIRST_EVENT, LAST_PURCHASE};

use crate::ScoringError;
use crate::features::Features;
use crate::fit::fit;
use crate::model::{Evaluation, Method, Model, probability};
use crate::rank::roc_auc;
use crate::rules;
use crate::score_kind::ScoreKind;

/// Positive and negative examples, each, that training needs at least.
const MIN_PER_CLASS: usize = 50;

/// Candidates at one or more cut-offs with their labels.
#[derive(Default)]
struct Examples {
    names: Vec<String>,
    values: Vec<f64>,
    labels: Vec<bool>,
}

/// Trains a model on the facts known at the session's moment.
///
/// The labels of a cut-off are taken from the horizon after it. The last cut-off whose horizon is
/// over is held out for the test. Those before it, each a horizon apart, are for training, so no
/// training window overlaps the test window.
///
/// # Errors
/// A query for features or labels exceeds its memory, disk or time limit, or the lake cannot be read.
/// Too few examples are no error: the model then has fixed weights and says why.
pub async fn train(
    session: &Session,
    kind: ScoreKind,
    snapshot: SnapshotNumber,
) -> Result<Model, ScoringError> {
    let as_of = session.as_of();
    let before =
        |times: i64| Timestamp::from_micros(as_of.micros() - times * kind.horizon().micros());
    let begins = moment(session, FIRST_EVENT).await?;
    let ends = moment(session, LAST_PURCHASE).await?;
    let cut_offs: Vec<Timestamp> = (2..2 + kind.cut_offs())
        .map(before)
        .filter(|cut_off| begins.is_some_and(|first| first <= *cut_off))
        .collect();
    let mut examples = Examples::default();
    for cut_off in &cut_offs {
        let more = examples_at(session, kind, *cut_off).await?;
        examples.names = more.names;
        examples.values.extend(more.values);
        examples.labels.extend(more.labels);
    }
    let test_at = before(1);
    let test = examples_at(session, kind, test_at).await?;
    let positives = count_positives(&examples.labels);
    let learnt = match () {
        () if positives < MIN_PER_CLASS || examples.labels.len() - positives < MIN_PER_CLASS => {
            Err(format!(
                "there are {positives} positive and {} negative examples, at least {MIN_PER_CLASS} of each are needed",
                examples.labels.len() - positives
            ))
        }
        () => fit(&examples.names, &examples.values, &examples.labels),
    };
    let (method, reason, (base, weights)) = match learnt {
        Ok(weights) => (Method::Logistic, None, weights),
        Err(reason) => (
            Method::Rules,
            Some(reason),
            rules::weights(kind, &test.names),
        ),
    };
    let mut model = Model {
        kind,
        method,
        reason,
        as_of,
        snapshot,
        cut_offs,
        examples: examples.labels.len() as u64,
        positives: positives as u64,
        base,
        weights,
        evaluation: Evaluation {
            cut_off: test_at,
            examples: test.labels.len() as u64,
            positives: count_positives(&test.labels) as u64,
            roc_auc: None,
            brier: None,
        },
        data_end: ends,
        uncovered_days: ends.and_then(|ends| uncovered_days(kind, ends, as_of)),
    };
    let width = test.names.len().max(1);
    let scores: Vec<f64> = test
        .values
        .chunks(width)
        .map(|row| model.score_of(row))
        .collect();
    model.evaluation.roc_auc = roc_auc(&scores, &test.labels);
    model.evaluation.brier = brier(&scores, &test.labels);
    Ok(model)
}

async fn examples_at(
    session: &Session,
    kind: ScoreKind,
    cut_off: Timestamp,
) -> Result<Examples, ScoringError> {
    let features = Features::at(session, kind, cut_off).await?;
    let until = Timestamp::from_micros(cut_off.micros() + kind.horizon().micros());
    let window = [
        ("from", Parameter::Time(Some(cut_off))),
        ("until", Parameter::Time(Some(until))),
    ];
    let mut rows = session.stream_with(BUYERS, &window).await?;
    let mut bought: HashSet<i64> = HashSet::new();
    while let Some(batch) = rows.next_batch().await? {
        bought.extend(batch.column(0).as_primitive::<Int64Type>().values());
    }
    let truth = features.persons.iter();
    let labels = truth.map(|person| kind.label(bought.contains(person)));
    Ok(Examples {
        labels: labels.collect(),
        names: features.names,
        values: features.values,
    })
}

/// Days between the newest purchase and the end of the label window, if the gap is larger than a
/// thirtieth of the horizon.
fn uncovered_days(kind: ScoreKind, ends: Timestamp, as_of: Timestamp) -> Option<i64> {
    let missing = as_of.micros() - ends.micros();
    let is_clear = missing > kind.horizon().micros() / 30;
    is_clear.then(|| missing / Span::days(1).micros())
}

/// The single timestamp that a query returns.
async fn moment(session: &Session, question: &str) -> Result<Option<Timestamp>, ScoringError> {
    let answer = session.query_with(question, &[]).await?;
    let Some(batch) = answer.batches.first() else {
        return Ok(None);
    };
    let failed = |source| ScoringError::Rows { source };
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let at = arrow::compute::cast(batch.column(0), &micros).map_err(failed)?;
    let at = arrow::compute::cast(&at, &DataType::Int64).map_err(failed)?;
    let at = at.as_primitive::<Int64Type>();
    Ok((!at.is_empty() && at.is_valid(0)).then(|| Timestamp::from_micros(at.value(0))))
}

fn count_positives(truth: &[bool]) -> usize {
    truth.iter().filter(|labels| **labels).count()
}

fn brier(scores: &[f64], labels: &[bool]) -> Option<f64> {
    let misses = scores.iter().zip(labels).map(|(score, truth)| {
        let outcome = if *truth { 1.0 } else { 0.0 };
        (probability(*score) - outcome).powi(2)
    });
    let sum = misses.sum::<f64>();
    (!scores.is_empty()).then(|| sum / scores.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::{brier, uncovered_days};
    use crate::score_kind::ScoreKind;

    #[test]
    fn labels_beyond_the_data_are_reported() {
        let at = |text: &str| text.parse().unwrap();
        for (kind, ends, as_of, days) in [
            (ScoreKind::Churn, "2024-05-31", "2024-09-10", Some(102)),
            (ScoreKind::Churn, "2024-05-31", "2024-06-04", Some(4)),
            // Nobody sells something every hour.
            (ScoreKind::Churn, "2024-05-31", "2024-06-02", None),
            (ScoreKind::Lead, "2024-05-31", "2024-06-02", Some(2)),
            (ScoreKind::Lead, "2024-05-31", "2024-06-01", None),
        ] {
            assert_eq!(
                uncovered_days(kind, at(ends), at(as_of)),
                days,
                "{kind} {as_of}"
            );
        }
    }

    #[test]
    fn brier_score_needs_candidates() {
        assert_eq!(brier(&[], &[]), None);
        assert_eq!(brier(&[0.0, 0.0], &[true, false]), Some(0.25));
    }
}
