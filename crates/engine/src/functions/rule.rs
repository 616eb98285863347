//! The rule of planning that puts arithmetic of our own where DataFusion's would be wrong.

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;

use super::arithmetic::{Exact, OneZero};
use super::forgiving::forgiven;
use crate::rewriting::typed::{Types, rewritten};

/// Functions that may give a zero below zero.
const ROUNDING: [&str; 5] = ["round", "ceil", "trunc", "floor", "sqrt"];

/// Runs after types were made to fit.
#[derive(Debug)]
pub(crate) struct OwnArithmetic;

impl AnalyzerRule for OwnArithmetic {
    fn name(&self) -> &'static str {
        "own_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewritten(plan, &rewrite)
    }
}

fn rewrite(expr: Expr, types: &Types) -> Result<Transformed<Expr>> {
    if let Some(forgiving) = forgiven(&expr, types)? {
        return Ok(Transformed::yes(forgiving));
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
                return Ok(one_zero(expr));
            }
            let is_of_integers = of.0.is_integer() && of.0 == of.1;
            match Exact::new(*op).filter(|_| is_of_integers) {
                Some(function) => {
                    let args = vec![left.as_ref().clone(), right.as_ref().clone()];
                    let call = ScalarUDF::from(function).call(args);
                    Ok(Transformed::yes(call))
                }
                None => Ok(Transformed::no(expr)),
            }
        }
        Expr::Negative(inner) if types.of(inner)? == DataType::Float64 => Ok(one_zero(expr)),
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Float64 => {
            match types.of(&cast.expr)?.is_string() {
                true => Ok(one_zero(expr)),
                false => Ok(Transformed::no(expr)),
            }
        }
        Expr::TryCast(cast) if *cast.field.data_type() == DataType::Float64 => {
            match types.of(&cast.expr)?.is_string() {
                true => Ok(one_zero(expr)),
                false => Ok(Transformed::no(expr)),
            }
        }
        Expr::ScalarFunction(ScalarFunction { func, .. }) if ROUNDING.contains(&func.name()) => {
            match types.of(&expr)? {
                DataType::Float64 => Ok(one_zero(expr)),
                _ => Ok(Transformed::no(expr)),
            }
        }
        _ => Ok(Transformed::no(expr)),
    }
}

fn one_zero(expr: Expr) -> Transformed<Expr> {
    Transformed::yes(ScalarUDF::from(OneZero::new()).call(vec![expr]))
}
