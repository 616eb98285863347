//! Conversion of texts, dates and local times to instants, and of instants to local times.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{DataType, FieldRef, TimeUnit, TimestampMicrosecondType};
use chrono::Utc;
use chrono_tz::Tz;
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use rollbook_model::GivenTime;

use super::clocks::Clocks;
use super::zoned::{WALL_CLOCK, instant};
use crate::rewriting::columnar::{columnar, nullable_as_arguments};

/// Whether a type needs a time zone to become an instant.
pub(crate) fn is_local(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Date32
            | DataType::Date64
            | DataType::Timestamp(_, None)
    )
}

/// Converts a text, a date or a local time to an instant in a zone. A local time that the clocks
/// skip becomes the end of the gap, a repeated one the earlier instant.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Instant {
    zone: Tz,
    /// Whether a text that is not a time becomes null instead of an error.
    is_lenient: bool,
    signature: Signature,
}

impl Instant {
    pub(crate) fn new(zone: Tz, is_lenient: bool) -> Self {
        Self {
            zone,
            is_lenient,
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Instant {
    fn name(&self) -> &'static str {
        match self.is_lenient {
            true => "_try_instant",
            false => "_instant",
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
        let field = nullable_as_arguments(self.name(), ty, &args);
        let is_nullable = self.is_lenient || field.is_nullable();
        Ok(Arc::new(field.as_ref().clone().with_nullable(is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args[0].to_array(1)?;
        let found = instants(&values, self.zone, self.is_lenient)?;
        columnar(&args.args, found)
    }
}

/// The instants of local values in a zone.
///
/// # Errors
/// An execution error for a text that is not a time, unless `is_lenient`, and for a time out of
/// range.
pub(crate) fn instants(values: &ArrayRef, zone: Tz, is_lenient: bool) -> Result<ArrayRef> {
    let mut clocks = Clocks::new(zone);
    let found: TimestampMicrosecondArray = match values.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            read_texts(values, is_lenient, |text| parse_instant(text, zone))?
        }
        _ => {
            let local = cast(values, &WALL_CLOCK)?;
            let local = local.as_primitive::<TimestampMicrosecondType>();
            let found = local.iter().map(|local| match local {
                None => Ok(None),
                Some(local) => in_range(clocks.instant(local)).map(Some),
            });
            found.collect::<Result<_>>()?
        }
    };
    Ok(Arc::new(found.with_timezone(zone.name())))
}

/// Converts texts to times; a text that is not a time becomes null or an error.
fn read_texts(
    values: &ArrayRef,
    is_lenient: bool,
    mut read: impl FnMut(&str) -> Option<i64>,
) -> Result<TimestampMicrosecondArray> {
    let texts = cast(values, &DataType::Utf8View)?;
    let found = texts.as_string_view().iter().map(|text| {
        let Some(text) = text else { return Ok(None) };
        match (read(text), is_lenient) {
            (Some(at), _) => Ok(Some(at)),
            (None, true) => Ok(None),
            (None, false) => Err(exec_datafusion_err!(
                "Cannot cast string '{text}' to value of time type"
            )),
        }
    });
    found.collect()
}

/// The instant of a text in a zone.
fn parse_instant(text: &str, zone: Tz) -> Option<i64> {
    if let Ok(given) = text.parse::<GivenTime>() {
        return Some(given.in_zone(zone).micros());
    }
    // Other formats, such as zones by name or without a colon.
    let at = string_to_datetime(&Utc, text.trim()).ok()?;
    let years = rollbook_model::time::YEARS;
    years
        .contains(&chrono::Datelike::year(&at))
        .then(|| at.timestamp_micros())
}

/// The instant; a missing one lies out of range, hundreds of thousands of years away.
///
/// # Errors
/// An execution error for a missing instant.
pub(super) fn in_range(at: Option<i64>) -> Result<i64> {
    at.ok_or_else(|| exec_datafusion_err!("time is out of range"))
}

/// The local time of an instant in a zone; a text without a zone is already a local time.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct WallClock {
    zone: Tz,
    /// Whether a text that is not a time becomes null instead of an error.
    is_lenient: bool,
    signature: Signature,
}

impl WallClock {
    pub(crate) fn new(zone: Tz, is_lenient: bool) -> Self {
        Self {
            zone,
            is_lenient,
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for WallClock {
    fn name(&self) -> &'static str {
        match self.is_lenient {
            true => "_try_wall_clock",
            false => "_wall_clock",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(WALL_CLOCK)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<_> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let ty = self.return_type(&types)?;
        let field = nullable_as_arguments(self.name(), ty, &args);
        let is_nullable = self.is_lenient || field.is_nullable();
        Ok(Arc::new(field.as_ref().clone().with_nullable(is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args[0].to_array(1)?;
        let mut clocks = Clocks::new(self.zone);
        let shown = match values.data_type().is_string() {
            true => read_texts(&values, self.is_lenient, |text| {
                match text.parse::<GivenTime>() {
                    Ok(GivenTime::Local(shown)) => Some(shown.and_utc().timestamp_micros()),
                    _ => clocks.local(parse_instant(text, self.zone)?),
                }
            })?,
            false => map_instants(&values, |at| clocks.local(at))?,
        };
        columnar(&args.args, Arc::new(shown))
    }
}

/// Changes each instant of a column, in microseconds; the result has no zone.
///
/// # Errors
/// An execution error if the column holds no times, or a result is out of range.
pub(super) fn map_instants(
    values: &ArrayRef,
    mut change: impl FnMut(i64) -> Option<i64>,
) -> Result<TimestampMicrosecondArray> {
    let DataType::Timestamp(_, zone) = values.data_type() else {
        return exec_err!("{} is not a time", values.data_type());
    };
    let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
    let values = cast(values, &micros)?;
    let values = values.as_primitive::<TimestampMicrosecondType>();
    let changed = values.iter().map(|at| match at {
        None => Ok(None),
        Some(at) => in_range(change(at)).map(Some),
    });
    changed.collect()
}
