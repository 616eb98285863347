//! The analyzer rule that replaces arithmetic where DataFusion's result may be wrong.

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;

use super::arithmetic::{CanonicalFloat, CheckedOperator};
use super::null_on_error::null_on_error;
use crate::rewriting::typed::{Types, rewrite_plan};

/// Functions that may return negative zero.
const ROUNDING: [&str; 5] = ["round", "ceil", "trunc", "floor", "sqrt"];

/// Runs after type coercion.
#[derive(Debug)]
pub(crate) struct CheckedArithmetic;

impl AnalyzerRule for CheckedArithmetic {
    fn name(&self) -> &'static str {
        "checked_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_plan(plan, &rewrite)
    }
}

fn rewrite(expr: Expr, types: &Types) -> Result<Transformed<Expr>> {
    if let Some(null_on_error) = null_on_error(&expr, types)? {
        return Ok(Transformed::yes(null_on_error));
    }
    match &expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let is_arithmetic = matches!(
                op,
                Operator::Plus
                    | Operator::Minus
                    | Operator::Multiply
                    | Operator::Divide
                    | Operator::Modulo
            );
            if !is_arithmetic {
                return Ok(Transformed::no(expr));
            }
            let of = (types.of(left)?, types.of(right)?);
            if of.0 == DataType::Float64 && of.0 == of.1 {
                return Ok(canonical_float(expr));
            }
            let is_of_integers = of.0.is_integer() && of.0 == of.1;
            match CheckedOperator::new(*op).filter(|_| is_of_integers) {
                Some(function) => {
                    let args = vec![left.as_ref().clone(), right.as_ref().clone()];
                    let call = ScalarUDF::from(function).call(args);
                    Ok(Transformed::yes(call))
                }
                None => Ok(Transformed::no(expr)),
            }
        }
        Expr::Negative(inner) if types.of(inner)? == DataType::Float64 => Ok(canonical_float(expr)),
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Float64 => {
            match types.of(&cast.expr)?.is_string() {
                true => Ok(canonical_float(expr)),
                false => Ok(Transformed::no(expr)),
            }
        }
        Expr::TryCast(cast) if *cast.field.data_type() == DataType::Float64 => {
            match types.of(&cast.expr)?.is_string() {
                true => Ok(canonical_float(expr)),
                false => Ok(Transformed::no(expr)),
            }
        }
        Expr::ScalarFunction(ScalarFunction { func, .. }) if ROUNDING.contains(&func.name()) => {
            match types.of(&expr)? {
                DataType::Float64 => Ok(canonical_float(expr)),
                _ => Ok(Transformed::no(expr)),
            }
        }
        _ => Ok(Transformed::no(expr)),
    }
}

fn canonical_float(expr: Expr) -> Transformed<Expr> {
    Transformed::yes(ScalarUDF::from(CanonicalFloat::new()).call(vec![expr]))
}
