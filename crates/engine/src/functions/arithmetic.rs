//! Arithmetic that reports overflow, and floats with one zero and one `NaN`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    ColumnarValue, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::physical_expr_common::datum::apply;

use crate::rewriting::columnar::nullable_as_arguments;

/// `+`, `-` or `*` of integers or decimals, with overflow as an error. DataFusion's operators wrap
/// around for integers.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct CheckedOperator {
    op: Operator,
    signature: Signature,
}

impl CheckedOperator {
    /// The checked operator, if `op` has one.
    pub(crate) fn new(op: Operator) -> Option<Self> {
        matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply).then(|| Self {
            op,
            signature: Signature::any(2, Volatility::Immutable),
        })
    }
}

impl ScalarUDFImpl for CheckedOperator {
    fn name(&self) -> &'static str {
        match self.op {
            Operator::Plus => "_plus",
            Operator::Minus => "_minus",
            _ => "_times",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [left, right] if left.is_decimal() => {
                BinaryTypeCoercer::new(left, &self.op, right).get_result_type()
            }
            _ => Ok(types[0].clone()),
        }
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
        let function = match self.op {
            Operator::Plus => numeric::add,
            Operator::Minus => numeric::sub,
            _ => numeric::mul,
        };
        apply(&args.args[0], &args.args[1], function)
    }
}

/// Maps a float to the one zero and the one `NaN`: conversion to text, grouping and comparison
/// would distinguish several.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct CanonicalFloat {
    signature: Signature,
}

impl CanonicalFloat {
    pub(crate) fn new() -> Self {
        Self {
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for CanonicalFloat {
    fn name(&self) -> &'static str {
        "_one_zero"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
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
        let values = args.args[0].to_array(1)?;
        let values: &Float64Array = values.as_primitive::<Float64Type>();
        let plain = |value: f64| match value.is_nan() {
            true => f64::NAN,
            false => value + 0.0,
        };
        let found: ArrayRef = Arc::new(values.unary::<_, Float64Type>(plain));
        crate::rewriting::columnar::columnar(&args.args, found)
    }
}
