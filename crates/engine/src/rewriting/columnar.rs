//! Results of scalar functions: fields and columns.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs};

/// The field of a function that returns null exactly where an argument is null.
pub(crate) fn nullable_as_arguments(
    name: &str,
    ty: DataType,
    args: &ReturnFieldArgs<'_>,
) -> FieldRef {
    let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
    Arc::new(Field::new(name, ty, is_nullable))
}

/// The result of a function. With scalar arguments only, it is one scalar for all rows of the
/// batch.
///
/// # Errors
/// An error of DataFusion where the value has no scalar form.
pub(crate) fn columnar(args: &[ColumnarValue], result: ArrayRef) -> Result<ColumnarValue> {
    if args
        .iter()
        .all(|arg| matches!(arg, ColumnarValue::Scalar(_)))
    {
        return ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar);
    }
    Ok(ColumnarValue::Array(result))
}
