//! `date_trunc` and `date_bin`: the start of the hour, day or month in local time.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use chrono::{Datelike, Days, NaiveDate, NaiveTime};
use chrono_tz::Tz;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::clocks::{Clocks, naive};
use super::conversions::{is_local, map_instants};
use super::zoned::{WALL_CLOCK, instant};
use crate::rewriting::columnar::{columnar, nullable_as_arguments};

/// The unit that times are truncated to.
#[derive(Debug, Clone, Copy)]
enum Unit {
    /// A number of microseconds.
    Micros(i64),
    Day,
    Week,
    /// A number of months.
    Months(u32),
}

const UNITS: [(&str, Unit); 10] = [
    ("microsecond", Unit::Micros(1)),
    ("millisecond", Unit::Micros(1_000)),
    ("second", Unit::Micros(1_000_000)),
    ("minute", Unit::Micros(60_000_000)),
    ("hour", Unit::Micros(3_600_000_000)),
    ("day", Unit::Day),
    ("week", Unit::Week),
    ("month", Unit::Months(1)),
    ("quarter", Unit::Months(3)),
    ("year", Unit::Months(12)),
];

/// `date_trunc`; times without a zone are in the tenant's zone.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DateTrunc {
    zone: Option<Tz>,
    /// DataFusion's function, for times of day.
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl DateTrunc {
    pub(crate) fn new(zone: Option<Tz>, inner: Arc<ScalarUDF>) -> Self {
        Self {
            zone,
            inner,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &'static str {
        "date_trunc"
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [unit, value] = types else {
            return plan_err!(
                "`date_trunc` takes a unit and a time, such as date_trunc('month', created_at)"
            );
        };
        if !unit.is_string() {
            return plan_err!("`date_trunc` takes a unit in quotes first, such as 'month'");
        }
        let value = match value {
            DataType::Time32(_) | DataType::Time64(_) => value.clone(),
            other => coerced(other, self.zone)?,
        };
        Ok(vec![DataType::Utf8, value])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[1].clone())
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
        let (unit, value) = (&args.args[0], &args.args[1]);
        let DataType::Timestamp(_, zone) = value.data_type() else {
            return self.inner.invoke_with_args(args);
        };
        let ColumnarValue::Scalar(ScalarValue::Utf8(Some(unit))) = unit else {
            return exec_err!("the unit of `date_trunc` must be a constant text");
        };
        let unit = unit.to_lowercase();
        let Some((_, unit)) = UNITS.into_iter().find(|(name, _)| *name == unit) else {
            let names = UNITS.map(|(name, _)| name).join(", ");
            return exec_err!("`date_trunc` has no unit `{unit}`: use one of {names}");
        };
        let Some(calendar) = calendar_of(zone.as_ref()) else {
            return self.inner.invoke_with_args(args);
        };
        let mut clocks = Clocks::new(calendar);
        let values = value.to_array(1)?;
        let cut = map_instants(&values, |at| cut(unit, &mut clocks, at))?;
        columnar(&args.args[1..], Arc::new(cut.with_timezone_opt(zone)))
    }

    fn output_ordering(&self, input: &[ExprProperties]) -> Result<SortProperties> {
        match input[0].sort_properties == SortProperties::Singleton {
            true => Ok(input[1].sort_properties),
            false => Ok(SortProperties::Unordered),
        }
    }
}

/// The type in which a time is truncated.
fn coerced(ty: &DataType, zone: Option<Tz>) -> Result<DataType> {
    let zone_type = || zone.map_or(WALL_CLOCK, |zone| instant(&zone.name().into()));
    Ok(match ty {
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Null => zone_type(),
        local if is_local(local) => zone_type(),
        other => return plan_err!("`date_trunc` and `date_bin` take a time, not {other}"),
    })
}

/// The zone of a time; `None` if the zone is a fixed offset.
fn calendar_of(zone: Option<&Arc<str>>) -> Option<Tz> {
    match zone {
        None => Some(Tz::UTC),
        Some(zone) => zone.parse().ok(),
    }
}

/// The start of the unit that contains an instant.
fn cut(unit: Unit, clocks: &mut Clocks, at: i64) -> Option<i64> {
    let local = clocks.local(at)?;
    let day = match unit {
        Unit::Micros(micros) => return at.checked_sub(local.rem_euclid(micros)),
        Unit::Day => naive(local)?.date(),
        Unit::Week => {
            let day = naive(local)?.date();
            day.checked_sub_days(Days::new(day.weekday().num_days_from_monday().into()))?
        }
        Unit::Months(months) => {
            let day = naive(local)?.date();
            NaiveDate::from_ymd_opt(day.year(), day.month0() / months * months + 1, 1)?
        }
    };
    clocks.instant(day.and_time(NaiveTime::MIN).and_utc().timestamp_micros())
}

/// `date_bin`: bins of days and longer follow local time, shorter ones are counted in elapsed time.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DateBin {
    zone: Option<Tz>,
    /// DataFusion's function, for times of day.
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl DateBin {
    pub(crate) fn new(zone: Option<Tz>, inner: Arc<ScalarUDF>) -> Self {
        Self {
            zone,
            inner,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

/// The length of a bin.
#[derive(Clone, Copy)]
enum Bins {
    Months(i64),
    Days(i64),
    Micros(i64),
}

fn bins(interval: &ScalarValue) -> Result<Bins> {
    let wrong = || {
        exec_err!(
            "the interval of `date_bin` must be positive, in months alone or in days and time"
        )
    };
    let parts = match interval {
        ScalarValue::IntervalMonthDayNano(Some(parts)) => *parts,
        _ => return wrong(),
    };
    let micros = parts.nanoseconds / 1_000;
    let (months, days) = (i64::from(parts.months), i64::from(parts.days));
    match (months, days, micros) {
        (1.., 0, 0) => Ok(Bins::Months(months)),
        (0, 1.., 0) => Ok(Bins::Days(days)),
        (0, 0, 1..) if parts.nanoseconds % 1_000 == 0 => Ok(Bins::Micros(micros)),
        (0, 1.., 1..) => Ok(Bins::Micros(days * super::clocks::DAY + micros)),
        _ => wrong(),
    }
}

/// The start of the bin that contains an instant.
fn bin(bins: Bins, origin: i64, clocks: &mut Clocks, at: i64) -> Option<i64> {
    let floor = |value: i64, from: i64, length: i64| {
        let distance = value.checked_sub(from)?;
        from.checked_add(distance.div_euclid(length).checked_mul(length)?)
    };
    match bins {
        Bins::Micros(length) => floor(at, origin, length),
        Bins::Days(days) => {
            let (at, origin) = (clocks.local(at)?, clocks.local(origin)?);
            clocks.instant(floor(at, origin, days.checked_mul(super::clocks::DAY)?)?)
        }
        Bins::Months(length) => {
            let (at, origin) = (naive(clocks.local(at)?)?, naive(clocks.local(origin)?)?);
            let month = |day: NaiveDate| i64::from(day.year()) * 12 + i64::from(day.month0());
            let mut bin = (month(at.date()) - month(origin.date())).div_euclid(length);
            loop {
                let months = i32::try_from(bin.checked_mul(length)?).ok()?;
                let by = chrono::Months::new(months.unsigned_abs());
                let begin = match months < 0 {
                    true => origin.checked_sub_months(by)?,
                    false => origin.checked_add_months(by)?,
                };
                if begin <= at {
                    return clocks.instant(begin.and_utc().timestamp_micros());
                }
                bin -= 1;
            }
        }
    }
}

impl ScalarUDFImpl for DateBin {
    fn name(&self) -> &'static str {
        "date_bin"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_of_day = |ty: &DataType| matches!(ty, DataType::Time32(_) | DataType::Time64(_));
        if types.get(1).is_some_and(is_of_day) {
            return Ok(types.to_vec());
        }
        let month_day_nano = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
        match types {
            [_, value] => Ok(vec![month_day_nano, coerced(value, self.zone)?]),
            [_, value, origin] => {
                let value = coerced(value, self.zone)?;
                coerced(origin, self.zone)?;
                Ok(vec![month_day_nano, value.clone(), value])
            }
            _ => plan_err!(
                "`date_bin` takes a length, a time and an origin, such as date_bin(interval '1 day', created_at)"
            ),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[1].clone())
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
        let value = &args.args[1];
        let DataType::Timestamp(_, zone) = value.data_type() else {
            return self.inner.invoke_with_args(args);
        };
        let calendar = calendar_of(zone.as_ref()).unwrap_or(Tz::UTC);
        let mut clocks = Clocks::new(calendar);
        let ColumnarValue::Scalar(interval) = &args.args[0] else {
            return exec_err!("the interval of `date_bin` must be a constant");
        };
        if interval.is_null() {
            let none = ScalarValue::TimestampMicrosecond(None, zone);
            return Ok(ColumnarValue::Scalar(none));
        }
        let bins = bins(interval)?;
        let origin = match args.args.get(2) {
            // DataFusion and others count from 1970-01-01, although a Monday would suit weeks.
            None => clocks.instant(0),
            Some(ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(Some(at), _))) => {
                Some(*at)
            }
            Some(_) => return exec_err!("the origin of `date_bin` must be a constant time"),
        };
        let values: ArrayRef = value.to_array(1)?;
        let begins = map_instants(&values, |at| bin(bins, origin?, &mut clocks, at))?;
        columnar(&args.args[1..2], Arc::new(begins.with_timezone_opt(zone)))
    }
}
