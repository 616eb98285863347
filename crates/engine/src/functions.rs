//! Functions of SQL that are ours, and those of DataFusion that need a bound.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarUDF};

mod arithmetic;
mod bounded;
mod forgiving;
mod json_object;
mod json_text;
mod lenient;
mod rule;
mod sums;

pub(crate) use bounded::Bounded;
pub use lenient::Uncomputed;
pub(crate) use lenient::{call, lenient, make_lenient};
pub(crate) use rule::OwnArithmetic;
pub(crate) use sums::Checked;

/// Functions whose result can be far larger than what goes in: they stay, with a bound.
pub(crate) const BOUNDED: [&str; 3] = ["repeat", "lpad", "rpad"];

/// Functions that build lists of any length in memory which no pool counts. Series are still to
/// be had as tables: `select * from generate_series(1, 10)`.
pub(crate) const LEFT_OUT: [&str; 4] = ["array_repeat", "array_resize", "generate_series", "range"];

/// The functions that DataFusion does not have.
pub(crate) fn own() -> [ScalarUDF; 2] {
    [
        ScalarUDF::from(json_object::JsonObject::new()),
        ScalarUDF::from(json_text::JsonText::new()),
    ]
}

/// What a function gives that is null where an argument is, and nowhere else.
pub(crate) fn null_as_its_arguments(
    name: &str,
    ty: DataType,
    args: &ReturnFieldArgs<'_>,
) -> FieldRef {
    let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
    Arc::new(Field::new(name, ty, is_nullable))
}

/// A function's result. Scalars alone give one row, which then stands for all rows of the batch.
pub(crate) fn columnar(args: &[ColumnarValue], result: ArrayRef) -> Result<ColumnarValue> {
    if args
        .iter()
        .all(|arg| matches!(arg, ColumnarValue::Scalar(_)))
    {
        return ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar);
    }
    Ok(ColumnarValue::Array(result))
}
