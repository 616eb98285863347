//! Functions that fail for a single value: in a condition the result is null for that person, and
//! the failure is counted.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::{Between, Cast, ScalarFunction, TryCast};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, lit,
};

use super::arithmetic::CheckedOperator;
use super::lenient::{Lenient, RESULT, Uncomputed};
use crate::rewriting::expressions::is_comparison;
use crate::rewriting::typed::Types;

/// A function that returns null where the inner function fails.
#[derive(Debug, PartialEq, Eq)]
struct NullOnError {
    inner: Arc<ScalarUDF>,
    label: String,
    counts: Uncomputed,
    signature: Signature,
}

impl Hash for NullOnError {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
        self.label.hash(state);
    }
}

/// The replacement of an expression that is marked as fallible; `None` if `expr` has no mark.
///
/// # Errors
/// A planning error where a part of the expression has no type.
pub(super) fn null_on_error(expr: &Expr, types: &Types) -> Result<Option<Expr>> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else {
        return Ok(None);
    };
    let marker = func.inner().downcast_ref::<Lenient>();
    let Some(marker) = marker.filter(|marker| marker.name() == RESULT) else {
        return Ok(None);
    };
    let [computed, Expr::Literal(ScalarValue::Utf8(Some(label)), _)] = args.as_slice() else {
        return internal_err!("`{RESULT}` is reserved for internal use");
    };
    let text = |expr: &Expr| text_as_time(expr, types, marker, label);
    let (inner, args) = match computed {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            let compared = BinaryExpr::new(text(left)?, *op, text(right)?);
            return Ok(Some(Expr::BinaryExpr(compared)));
        }
        Expr::Between(between) => {
            let (expr, low) = (text(&between.expr)?, text(&between.low)?);
            let between = Between::new(expr, between.negated, low, text(&between.high)?);
            return Ok(Some(Expr::Between(between)));
        }
        Expr::ScalarFunction(called) if !called.func.short_circuits() => {
            (Arc::clone(&called.func), called.args.clone())
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let is_decimal = types.of(computed)?.is_decimal();
            let Some(exact) = CheckedOperator::new(*op).filter(|_| is_decimal) else {
                return Ok(Some(computed.clone()));
            };
            let args = vec![left.as_ref().clone(), right.as_ref().clone()];
            (Arc::new(ScalarUDF::from(exact)), args)
        }
        _ => return Ok(Some(computed.clone())),
    };
    // A cast that type coercion added may fail for a single value, too.
    let args = args.into_iter().map(|arg| match arg {
        Expr::Cast(Cast { expr, field })
            if field.data_type().is_numeric() && !matches!(*expr, Expr::Literal(..)) =>
        {
            let operand = expr.as_ref().clone();
            let converted = Expr::TryCast(TryCast { expr, field });
            let label = lit(ScalarValue::Utf8(Some(label.clone())));
            marker.converted().call(vec![converted, operand, label])
        }
        other => other,
    });
    let args: Vec<Expr> = args.collect();
    let null_on_error = NullOnError {
        inner,
        label: label.clone(),
        counts: marker.counts().clone(),
        signature: Signature::any(args.len(), Volatility::Immutable),
    };
    Ok(Some(ScalarUDF::from(null_on_error).call(args)))
}

/// One operand of a comparison. If a text column is converted to a time here, texts without a time
/// are null.
fn text_as_time(expr: &Expr, types: &Types, marker: &Lenient, label: &str) -> Result<Box<Expr>> {
    let Expr::Cast(Cast {
        expr: operand,
        field,
    }) = expr
    else {
        return Ok(Box::new(expr.clone()));
    };
    let is_text = field.data_type().is_temporal() && types.of(operand)?.is_string();
    if !is_text || matches!(**operand, Expr::Literal(..)) {
        return Ok(Box::new(expr.clone()));
    }
    let converted = Expr::TryCast(TryCast {
        expr: operand.clone(),
        field: Arc::clone(field),
    });
    let label = lit(ScalarValue::Utf8(Some(label.to_owned())));
    let args = vec![converted, operand.as_ref().clone(), label];
    Ok(Box::new(marker.converted().call(args)))
}

impl ScalarUDFImpl for NullOnError {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = self.inner.return_field_from_args(args)?;
        Ok(Arc::new(field.as_ref().clone().with_nullable(true)))
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let error = match self.inner.invoke_with_args(args.clone()) {
            Err(error) if is_value_error(&error) => error,
            other => return other,
        };
        let is_array = |arg: &ColumnarValue| matches!(arg, ColumnarValue::Array(_));
        let as_nulls = |arg: &ColumnarValue| match arg {
            ColumnarValue::Array(array) => {
                ColumnarValue::Array(new_null_array(array.data_type(), 1))
            }
            scalar @ ColumnarValue::Scalar(_) => scalar.clone(),
        };
        // If the constants alone fail, they fail for every person.
        if !args.args.iter().any(is_array) || self.evaluate(&args, as_nulls).is_err() {
            return Err(error);
        }
        let nothing = new_null_array(args.return_field.data_type(), 1);
        let (mut rows, mut failed) = (Vec::with_capacity(args.number_rows), 0);
        for row in 0..args.number_rows {
            let row_value = |arg: &ColumnarValue| match arg {
                ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(row, 1)),
                scalar @ ColumnarValue::Scalar(_) => scalar.clone(),
            };
            match self.evaluate(&args, row_value) {
                Ok(value) => rows.push(value),
                Err(error) if is_value_error(&error) => {
                    rows.push(Arc::clone(&nothing));
                    failed += 1;
                }
                Err(error) => return Err(error),
            }
        }
        self.counts.add(&self.label, failed);
        let rows: Vec<_> = rows.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(concat(&rows)?))
    }
}

impl NullOnError {
    fn evaluate(
        &self,
        args: &ScalarFunctionArgs,
        one: impl Fn(&ColumnarValue) -> ColumnarValue,
    ) -> Result<ArrayRef> {
        let single = ScalarFunctionArgs {
            args: args.args.iter().map(one).collect(),
            number_rows: 1,
            ..args.clone()
        };
        self.inner.invoke_with_args(single)?.to_array(1)
    }
}

/// Whether an error is about a value, rather than about resources or the plan.
fn is_value_error(error: &DataFusionError) -> bool {
    matches!(
        error.find_root(),
        DataFusionError::ArrowError(..) | DataFusionError::Execution(_)
    )
}
