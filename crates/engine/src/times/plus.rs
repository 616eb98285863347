//! Adds an interval to an instant: months and days are those of the zone's calendar.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, FieldRef, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use chrono_tz::Tz;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::clocks::{Clocks, Interval};
use super::conversions::in_range;
use super::zoned::instant;
use crate::rewriting::columnar::{columnar, nullable_as_arguments};

/// `time + interval`, or `time - interval`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Plus {
    zone: Tz,
    is_minus: bool,
    signature: Signature,
}

impl Plus {
    pub(crate) fn new(zone: Tz, is_minus: bool) -> Self {
        Self {
            zone,
            is_minus,
            signature: Signature::any(2, Volatility::Immutable),
        }
    }

    fn shifted(&self, times: &ArrayRef, intervals: &ArrayRef) -> Result<ArrayRef> {
        let zone: Arc<str> = self.zone.name().into();
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(&zone)));
        let times = cast(times, &micros)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let intervals = cast(intervals, &DataType::Interval(IntervalUnit::MonthDayNano))?;
        let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
        let mut clocks = Clocks::new(self.zone);
        let interval_of = |row: usize| {
            if intervals.is_null(row) {
                return None;
            }
            let value = intervals.value(row);
            Some(Interval {
                months: value.months,
                days: value.days,
                nanos: value.nanoseconds,
            })
        };
        // Usually all rows have the same interval.
        let is_constant = intervals.len() == 1;
        let only = if is_constant { interval_of(0) } else { None };
        let shifted = times.iter().enumerate().map(|(row, at)| {
            let interval = if is_constant { only } else { interval_of(row) };
            let (Some(at), Some(interval)) = (at, interval) else {
                return Ok(None);
            };
            let interval = match self.is_minus {
                true => interval.negated(),
                false => Some(interval),
            };
            in_range(interval.and_then(|interval| clocks.plus(at, interval))).map(Some)
        });
        let shifted: TimestampMicrosecondArray = shifted.collect::<Result<_>>()?;
        Ok(Arc::new(shifted.with_timezone(zone)))
    }
}

impl ScalarUDFImpl for Plus {
    fn name(&self) -> &'static str {
        match self.is_minus {
            true => "_time_minus",
            false => "_time_plus",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(instant(&self.zone.name().into()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<_> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let ty = self.return_type(&types)?;
        Ok(nullable_as_arguments(self.name(), ty, &args))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let of = |value: &ColumnarValue| match value {
            ColumnarValue::Scalar(_) => value.to_array(1),
            ColumnarValue::Array(array) => Ok(Arc::clone(array)),
        };
        let (mut times, intervals) = (of(&args.args[0])?, of(&args.args[1])?);
        if times.len() != intervals.len() && times.len() == 1 {
            times = args.args[0].to_array(rows)?;
        }
        let shifted = self.shifted(&times, &intervals)?;
        columnar(&args.args, shifted)
    }
}
