//! Features of all candidates at one moment, as plain numbers.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use rollbook_engine::{Parameter, Session};
use rollbook_model::Timestamp;

use crate::ScoringError;
use crate::score_kind::ScoreKind;

/// A row for each candidate, in order of their ids.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Features {
    pub(crate) names: Vec<String>,
    pub(crate) persons: Vec<i64>,
    /// Row-major: `persons.len()` rows of `names.len()` values.
    pub(crate) values: Vec<f64>,
}

impl Features {
    /// The features of the candidates as of `as_of`, which must not be later than the session's moment.
    pub(crate) async fn at(
        session: &Session,
        kind: ScoreKind,
        as_of: Timestamp,
    ) -> Result<Self, ScoringError> {
        let rows_failed = |source| ScoringError::Rows { source };
        let mut named = vec![("as_of", Parameter::Time(Some(as_of)))];
        if kind == ScoreKind::Churn {
            let currency = session.currency().map(str::to_owned);
            named.push(("currency", Parameter::Text(currency)));
        }
        let mut rows = session.stream_with(kind.features_sql(), &named).await?;
        let fields = rows.schema().fields().iter().skip(1);
        let mut features = Self {
            names: fields.map(|field| field.name().clone()).collect(),
            ..Self::default()
        };
        while let Some(batch) = rows.next_batch().await? {
            let persons = batch.column(0).as_primitive::<Int64Type>();
            features.persons.extend(persons.values());
            let columns = batch.columns()[1..].iter();
            let columns = columns.map(|column| cast(column, &DataType::Float64));
            let columns = columns
                .collect::<Result<Vec<_>, _>>()
                .map_err(rows_failed)?;
            for row in 0..batch.num_rows() {
                features.values.extend(columns.iter().map(|column| {
                    let column = column.as_primitive::<Float64Type>();
                    let value = column.is_valid(row).then(|| column.value(row));
                    value.filter(|value| value.is_finite()).unwrap_or(0.0)
                }));
            }
        }
        Ok(features)
    }

    /// The features of the candidate with this index.
    pub(crate) fn row(&self, at: usize) -> &[f64] {
        let width = self.names.len();
        &self.values[at * width..(at + 1) * width]
    }

    /// The index of a person, if they are a candidate.
    pub(crate) fn index_of(&self, person: i64) -> Option<usize> {
        self.persons.binary_search(&person).ok()
    }
}
