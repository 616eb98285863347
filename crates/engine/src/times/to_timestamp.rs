//! `to_timestamp` and `from_unixtime`, in microseconds.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit};
use chrono_tz::Tz;
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::conversions::{instants, is_local};
use crate::rewriting::columnar::columnar;

/// Converts a number of seconds or a text to an instant; without a zone to a local time of UTC.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ToTimestamp {
    name: &'static str,
    zone: Option<Tz>,
    /// `to_timestamp_micros`, for texts with format arguments.
    formatted: Arc<ScalarUDF>,
    signature: Signature,
}

impl ToTimestamp {
    pub(crate) fn new(name: &'static str, zone: Option<Tz>, formatted: Arc<ScalarUDF>) -> Self {
        Self {
            name,
            zone,
            formatted,
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }

    fn zone(&self) -> Option<Arc<str>> {
        self.zone.map(|zone| zone.name().into())
    }

    fn convert(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let ty = DataType::Timestamp(TimeUnit::Microsecond, self.zone());
        match (values.data_type(), self.zone) {
            (DataType::Null | DataType::Timestamp(_, Some(_)), _) => Ok(cast(values, &ty)?),
            (local, Some(zone)) if is_local(local) => instants(values, zone, false),
            (local, None) if is_local(local) => Ok(cast(values, &ty)?),
            (number, _) if number.is_integer() => {
                let seconds = DataType::Timestamp(TimeUnit::Second, self.zone());
                let numbers = cast(values, &DataType::Int64)?;
                Ok(cast(&cast(&numbers, &seconds)?, &ty)?)
            }
            (number, _) if number.is_numeric() => {
                let seconds = cast(values, &DataType::Float64)?;
                let micros = seconds.as_primitive::<Float64Type>().iter();
                let micros = micros.map(|seconds| match seconds.map(|seconds| seconds * 1e6) {
                    None => Ok(None),
                    Some(micros) if micros.abs() < 9e18 => Ok(Some(micros.round() as i64)),
                    Some(_) => Err(exec_datafusion_err!("time is out of range")),
                });
                let micros: TimestampMicrosecondArray = micros.collect::<Result<_>>()?;
                Ok(Arc::new(micros.with_timezone_opt(self.zone())))
            }
            (other, _) => exec_err!("`{}` takes seconds or a text, not {other}", self.name),
        }
    }
}

impl ScalarUDFImpl for ToTimestamp {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, self.zone()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else {
            return self.formatted.invoke_with_args(args);
        };
        let found = self.convert(&value.to_array(1)?)?;
        columnar(&args.args, found)
    }
}
