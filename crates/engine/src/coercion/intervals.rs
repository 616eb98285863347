//! Lengths of intervals, for comparison, multiplication and division.
//!
//! The difference of two times is a duration, but users write intervals. DataFusion compares
//! intervals by months, then days, then the rest, and cannot multiply them. PostgreSQL and DuckDB
//! compare intervals with 30 days a month and 24 hours a day; so does this module.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, DurationMicrosecondArray, IntervalMonthDayNanoArray};
use arrow::compute::cast as cast_array;
use arrow::datatypes::{
    DataType, DurationMicrosecondType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalUnit, TimeUnit,
};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::rewriting::columnar::columnar;

/// The type in which lengths of time are compared.
pub(crate) const LENGTH: DataType = DataType::Duration(TimeUnit::Microsecond);
/// The type of interval literals.
pub(crate) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

const DAY: i128 = 86_400_000_000;
const DAYS_OF_MONTH: i128 = 30;

static LENGTH_OF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(Length::new().into()));
static MULTIPLIED: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(Scaled::new(false).into()));
static DIVIDED: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(Scaled::new(true).into()));

/// Whether a type is an interval or a duration.
pub(crate) fn is_length(ty: &DataType) -> bool {
    matches!(ty, DataType::Interval(_) | DataType::Duration(_))
}

/// The length of an interval or a duration.
pub(crate) fn length(expr: Expr) -> Expr {
    LENGTH_OF.call(vec![expr])
}

/// A length of time, multiplied by a number.
pub(crate) fn multiplied(length: Expr, by: Expr) -> Expr {
    MULTIPLIED.call(vec![length, by])
}

/// A length of time, divided by a number.
pub(crate) fn divided(length: Expr, by: Expr) -> Expr {
    DIVIDED.call(vec![length, by])
}

/// The length of an interval in microseconds, limited to the range of `i64`.
fn micros(interval: IntervalMonthDayNano) -> i64 {
    let days = i128::from(interval.months) * DAYS_OF_MONTH + i128::from(interval.days);
    let micros = days * DAY + i128::from(interval.nanoseconds / 1_000);
    i64::try_from(micros).unwrap_or(if micros < 0 { i64::MIN } else { i64::MAX })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Length {
    signature: Signature,
}

impl Length {
    fn new() -> Self {
        Self {
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Length {
    fn name(&self) -> &'static str {
        "_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(LENGTH)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let lengths: ArrayRef = match arrays[0].data_type() {
            DataType::Duration(_) => cast_array(&arrays[0], &LENGTH)?,
            _ => {
                let intervals = cast_array(&arrays[0], &INTERVAL)?;
                let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
                let lengths: DurationMicrosecondArray = intervals.unary(micros);
                Arc::new(lengths)
            }
        };
        columnar(&args.args, lengths)
    }
}

/// Multiplies or divides a length of time.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Scaled {
    signature: Signature,
    is_divided: bool,
}

impl Scaled {
    fn new(is_divided: bool) -> Self {
        Self {
            signature: Signature::any(2, Volatility::Immutable),
            is_divided,
        }
    }

    fn scale(&self, part: i64, by: f64) -> f64 {
        match self.is_divided {
            true => part as f64 / by,
            false => part as f64 * by,
        }
    }

    /// As in PostgreSQL: fractions of a month become days, fractions of a day become time. Null if
    /// the result is out of range, and for a division by zero.
    fn interval(&self, of: IntervalMonthDayNano, by: f64) -> Option<IntervalMonthDayNano> {
        let months = round_to_millionth(self.scale(of.months.into(), by));
        let more_days = round_to_millionth(months.fract() * 30.0);
        let days = round_to_millionth(self.scale(of.days.into(), by));
        let part_of_day = round_to_millionth(days.fract() + more_days.fract());
        let days = days.trunc() + more_days.trunc() + part_of_day.trunc();
        let nanos = self.scale(of.nanoseconds, by) + part_of_day.fract() * 86_400e9;
        let micros = whole(nanos / 1_000.0)?;
        Some(IntervalMonthDayNano::new(
            whole(months.trunc())?.try_into().ok()?,
            whole(days)?.try_into().ok()?,
            micros.checked_mul(1_000)?,
        ))
    }

    fn duration(&self, of: i64, by: f64) -> Option<i64> {
        // An integer factor is exact for long durations, too.
        match whole(by) {
            Some(times) if !self.is_divided && times as f64 == by => of.checked_mul(times),
            _ => whole(self.scale(of, by)),
        }
    }
}

/// Removes rounding errors: differences below a millionth.
fn round_to_millionth(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn whole(value: f64) -> Option<i64> {
    let rounded = value.round();
    (rounded.abs() < 9.2e18).then_some(rounded as i64)
}

impl ScalarUDFImpl for Scaled {
    fn name(&self) -> &'static str {
        match self.is_divided {
            true => "_divided",
            false => "_times",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match &types[0] {
            DataType::Duration(_) => LENGTH,
            _ => INTERVAL,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let by = cast_array(&arrays[1], &DataType::Float64)?;
        let by = by.as_primitive::<Float64Type>();
        let scaled: ArrayRef = match arrays[0].data_type() {
            DataType::Duration(_) => {
                let of = cast_array(&arrays[0], &LENGTH)?;
                let of = of.as_primitive::<DurationMicrosecondType>();
                let rows = of.iter().zip(by);
                let rows = rows.map(|(of, by)| self.duration(of?, by?));
                Arc::new(rows.collect::<DurationMicrosecondArray>())
            }
            _ => {
                let of = cast_array(&arrays[0], &INTERVAL)?;
                let of = of.as_primitive::<IntervalMonthDayNanoType>();
                let rows = of.iter().zip(by);
                let rows = rows.map(|(of, by)| self.interval(of?, by?));
                Arc::new(rows.collect::<IntervalMonthDayNanoArray>())
            }
        };
        columnar(&args.args, scaled)
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::IntervalMonthDayNano;

    use super::{Scaled, micros};

    const HOUR: i64 = 3_600_000_000_000;

    fn interval(months: i32, days: i32, nanoseconds: i64) -> IntervalMonthDayNano {
        IntervalMonthDayNano::new(months, days, nanoseconds)
    }

    #[test]
    fn month_is_as_long_as_thirty_days() {
        let day = 24 * HOUR / 1_000;
        assert_eq!(micros(interval(1, 0, 0)), 30 * day);
        assert_eq!(micros(interval(12, 5, HOUR)), 365 * day + HOUR / 1_000);
        assert_eq!(micros(interval(-1, 30, 0)), 0);
        assert_eq!(micros(interval(i32::MAX, 0, 0)), i64::MAX);
        assert_eq!(micros(interval(i32::MIN, 0, 0)), i64::MIN);
    }

    #[test]
    fn intervals_multiply_as_in_postgresql() {
        let times = |of, by| Scaled::new(false).interval(of, by);
        let divided = |of, by| Scaled::new(true).interval(of, by);
        assert_eq!(times(interval(1, 0, 0), 3.0), Some(interval(3, 0, 0)));
        assert_eq!(
            times(interval(1, 2, HOUR), -2.0),
            Some(interval(-2, -4, -2 * HOUR))
        );
        assert_eq!(times(interval(1, 0, 0), 0.5), Some(interval(0, 15, 0)));
        assert_eq!(
            times(interval(0, 1, 0), 1.5),
            Some(interval(0, 1, 12 * HOUR))
        );
        assert_eq!(
            divided(interval(1, 0, 0), 4.0),
            Some(interval(0, 7, 12 * HOUR))
        );
        assert_eq!(divided(interval(3, 0, 0), 3.0), Some(interval(1, 0, 0)));
        assert_eq!(
            divided(interval(0, 0, HOUR), 3.0),
            Some(interval(0, 0, HOUR / 3))
        );
        assert_eq!(times(interval(0, 0, HOUR), f64::NAN), None);
        assert_eq!(divided(interval(0, 1, 0), 0.0), None);
        assert_eq!(times(interval(i32::MAX, 0, 0), 2.0), None);
        assert_eq!(
            Scaled::new(false).duration(i64::MAX / 2, 2.0),
            Some(i64::MAX - 1)
        );
        assert_eq!(Scaled::new(false).duration(i64::MAX, 2.0), None);
        assert_eq!(Scaled::new(true).duration(10, 4.0), Some(3));
    }
}
