//! Training: learn from earlier cut-offs, test on the last one, fall back on the written rules.

use std::collections::HashSet;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use rollbook_engine::{Parameter, Session};
use rollbook_model::{SnapshotNumber, Span, Timestamp};
use rollbook_queries::scoring::{BUYERS, FIRST_EVENT, LAST_PURCHASE};

use crate::ScoringError;
use crate::features::Features;
use crate::fit::fit;
use crate::kind::Kind;
use crate::model::{Evaluation, Method, Model, probability};
use crate::rank::roc_auc;
use crate::rules;

/// Examples of either outcome that are needed to learn from.
const FEWEST: usize = 50;

/// Candidates at some moments, and of whom it came true.
#[derive(Default)]
struct Examples {
    names: Vec<String>,
    values: Vec<f64>,
    came_true: Vec<bool>,
}

/// Trains a model on what was known at the session's moment.
///
/// The labels of a cut-off are what happened within the horizon after it. The last cut-off whose
/// horizon is over is for the test; those before it, each a horizon apart, are learnt from, so
/// that no window of training reaches into the test's.
pub async fn train(
    session: &Session,
    kind: Kind,
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
        examples.came_true.extend(more.came_true);
    }
    let test_at = before(1);
    let test = examples_at(session, kind, test_at).await?;
    let positives = count_true(&examples.came_true);
    let learnt = match () {
        () if positives < FEWEST || examples.came_true.len() - positives < FEWEST => Err(format!(
            "there are {positives} examples of whom it came true and {} of whom it did not, at least {FEWEST} of each are needed",
            examples.came_true.len() - positives
        )),
        () => fit(&examples.names, &examples.values, &examples.came_true),
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
        examples: examples.came_true.len() as u64,
        positives: positives as u64,
        base,
        weights,
        evaluation: Evaluation {
            cut_off: test_at,
            examples: test.came_true.len() as u64,
            positives: count_true(&test.came_true) as u64,
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
    model.evaluation.roc_auc = roc_auc(&scores, &test.came_true);
    model.evaluation.brier = brier(&scores, &test.came_true);
    Ok(model)
}

async fn examples_at(
    session: &Session,
    kind: Kind,
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
    let came_true = truth.map(|person| kind.comes_true(bought.contains(person)));
    Ok(Examples {
        came_true: came_true.collect(),
        names: features.names,
        values: features.values,
    })
}

/// By how many days the data of what is bought end before the last labels do, where they clearly end:
/// by more than a thirtieth of what the labels look ahead.
fn uncovered_days(kind: Kind, ends: Timestamp, as_of: Timestamp) -> Option<i64> {
    let missing = as_of.micros() - ends.micros();
    let is_clear = missing > kind.horizon().micros() / 30;
    is_clear.then(|| missing / Span::days(1).micros())
}

/// The one moment that a question comes to.
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

fn count_true(truth: &[bool]) -> usize {
    truth.iter().filter(|came_true| **came_true).count()
}

fn brier(scores: &[f64], came_true: &[bool]) -> Option<f64> {
    let misses = scores.iter().zip(came_true).map(|(score, truth)| {
        let outcome = if *truth { 1.0 } else { 0.0 };
        (probability(*score) - outcome).powi(2)
    });
    let sum = misses.sum::<f64>();
    (!scores.is_empty()).then(|| sum / scores.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::{brier, uncovered_days};
    use crate::kind::Kind;

    #[test]
    fn labels_beyond_the_data_are_reported() {
        let at = |text: &str| text.parse().unwrap();
        for (kind, ends, as_of, days) in [
            (Kind::Churn, "2024-05-31", "2024-09-10", Some(102)),
            (Kind::Churn, "2024-05-31", "2024-06-04", Some(4)),
            // Nobody sells something every hour.
            (Kind::Churn, "2024-05-31", "2024-06-02", None),
            (Kind::Lead, "2024-05-31", "2024-06-02", Some(2)),
            (Kind::Lead, "2024-05-31", "2024-06-01", None),
        ] {
            assert_eq!(
                uncovered_days(kind, at(ends), at(as_of)),
                days,
                "{kind} {as_of}"
            );
        }
    }

    #[test]
    fn brier_score_of_nobody_is_none() {
        assert_eq!(brier(&[], &[]), None);
        assert_eq!(brier(&[0.0, 0.0], &[true, false]), Some(0.25));
    }
}
