//! What a text of our own is run with: values for its `$names`.

use std::time::Duration;

use chrono_tz::Tz;
use datafusion::common::{ParamValues, ScalarValue};
use rollbook_model::Timestamp;

/// A value for one `$name` of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// Text, which may be null.
    Text(Option<String>),
    /// A whole number.
    Int(i64),
    /// A fraction.
    Float(f64),
    /// A moment, which may be null.
    Time(Option<Timestamp>),
    /// A length of time, to microseconds.
    Span(Duration),
}

/// Names without the `$`, and their values.
pub type Parameters<'a> = &'a [(&'a str, Parameter)];

impl Parameter {
    fn scalar(&self, zone: Tz) -> ScalarValue {
        match self {
            Self::Text(text) => ScalarValue::Utf8(text.clone()),
            Self::Int(number) => ScalarValue::Int64(Some(*number)),
            Self::Float(number) => ScalarValue::Float64(Some(*number)),
            Self::Time(time) => moment(*time, zone),
            Self::Span(span) => {
                let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
                ScalarValue::DurationMicrosecond(Some(micros))
            }
        }
    }
}

/// A moment in the type that columns of time have.
fn moment(time: Option<Timestamp>, zone: Tz) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(time.map(Timestamp::micros), Some(zone.name().into()))
}

/// The values as a plan takes them.
pub(crate) fn values(parameters: Parameters<'_>, zone: Tz) -> ParamValues {
    let named = parameters
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.scalar(zone)));
    ParamValues::from(named.collect::<Vec<_>>())
}
