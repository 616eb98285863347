//! Casts between text and numbers in a mapping whose numbers have a decimal comma: explicit and implicit
//! casts read and write that form.

use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ExprSchema, Result};
use datafusion::functions::string::expr_fn::replace;
use datafusion::logical_expr::expr::{Cast, ScalarFunction, TryCast};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, lit,
};
use datafusion::optimizer::AnalyzerRule;

use crate::mapping::numbers::{NumberStyle, has_separator, plain};

/// Rewrites casts: text cast to a number passes through [`Plain`] first, and a number cast to text gets a
/// decimal comma. Runs after type coercion.
#[derive(Debug)]
pub(crate) struct NumbersWithComma {
    plain: Arc<ScalarUDF>,
}

impl NumbersWithComma {
    pub(crate) fn new() -> Self {
        let plain = Plain {
            signature: Signature::string(1, Volatility::Immutable),
        };
        Self {
            plain: Arc::new(ScalarUDF::from(plain)),
        }
    }

    fn rewritten(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let mut schema = merge_schema(&plan.inputs());
        if let LogicalPlan::TableScan(scan) = &plan {
            schema.merge(&scan.projected_schema);
        }
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let read = expr.transform_up(|expr| self.cast(expr, &schema))?;
            Ok(read.update_data(|expr| name.restore(expr)))
        })
    }

    fn cast(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let is_number = |field: &FieldRef| field.data_type().is_numeric();
        match expr {
            Expr::Cast(Cast { expr, field }) if is_number(&field) && is_text(&expr, schema) => {
                let expr = self.plain(*expr);
                Ok(Transformed::yes(Expr::Cast(Cast { expr, field })))
            }
            Expr::TryCast(TryCast { expr, field })
                if is_number(&field) && is_text(&expr, schema) =>
            {
                let expr = self.plain(*expr);
                Ok(Transformed::yes(Expr::TryCast(TryCast { expr, field })))
            }
            Expr::Cast(Cast { expr, field })
                if field.data_type().is_string() && has_point(&expr, schema) =>
            {
                let text = Expr::Cast(Cast { expr, field });
                Ok(Transformed::yes(replace(text, lit("."), lit(","))))
            }
            other => Ok(Transformed::no(other)),
        }
    }

    fn plain(&self, text: Expr) -> Box<Expr> {
        let call = ScalarFunction::new_udf(Arc::clone(&self.plain), vec![text]);
        Box::new(Expr::ScalarFunction(call))
    }
}

/// Whether an expression is text that the mapping did not write itself.
fn is_text(expr: &Expr, schema: &impl ExprSchema) -> bool {
    let is_own = matches!(expr, Expr::Literal(..));
    !is_own && expr.get_type(schema).is_ok_and(|ty| ty.is_string())
}

/// Whether an expression is a number whose text has a decimal point.
fn has_point(expr: &Expr, schema: &impl ExprSchema) -> bool {
    let ty = expr.get_type(schema);
    ty.is_ok_and(|ty| ty.is_floating() || ty.is_decimal())
}

impl AnalyzerRule for NumbersWithComma {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| self.rewritten(plan))
            .map(|read| read.data)
    }

    fn name(&self) -> &str {
        "numbers_with_comma"
    }
}

/// Converts a number with a decimal comma for casts. Text that is not a number in that style is not
/// converted: `12.50` is ambiguous.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Plain {
    signature: Signature,
}

impl ScalarUDFImpl for Plain {
    fn name(&self) -> &str {
        "number_with_comma"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let texts = arrow::compute::cast(&arrays[0], &DataType::Utf8)?;
        let texts = texts.as_string::<i32>().iter();
        let read: StringArray = texts.map(|text| text.map(as_plain)).collect();
        Ok(ColumnarValue::Array(Arc::new(read)))
    }
}

fn as_plain(text: &str) -> String {
    let style = NumberStyle::Comma;
    match plain(text.trim(), style) {
        Some(number) => number.into_owned(),
        None if has_separator(text) => format!("{text} (not like {})", style.sample()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, RecordBatch, StringArray};
    use arrow::compute::cast;
    use arrow::datatypes::DataType;
    use rollbook_model::config::Limits;

    use super::NumbersWithComma;

    async fn check(select: &str, expected: &[Option<&str>]) {
        let context = rollbook_engine::mapping_session(Limits::default(), None).unwrap();
        context.add_analyzer_rule(Arc::new(NumbersWithComma::new()));
        let price: StringArray = [Some("12,50"), Some("1.234"), Some("12.50"), Some("7"), None]
            .into_iter()
            .collect();
        let batch = RecordBatch::try_from_iter([("price", Arc::new(price) as _)]).unwrap();
        context.register_batch("lines", batch).unwrap();
        let sql = format!("select {select} as found from lines");
        let plan = rollbook_engine::plan_select(&context, &sql, |_| {})
            .await
            .unwrap();
        let frame = context.execute_logical_plan(plan).await.unwrap();
        let found = frame.collect().await.unwrap();
        let found: Vec<_> = found
            .iter()
            .flat_map(|batch| {
                let texts = cast(batch.column(0), &DataType::Utf8).unwrap();
                let texts = texts.as_string::<i32>();
                texts
                    .iter()
                    .map(|text| text.map(str::to_owned))
                    .collect::<Vec<_>>()
            })
            .collect();
        let found: Vec<_> = found.iter().map(Option::as_deref).collect();
        assert_eq!(found, expected, "{select}");
    }

    #[tokio::test]
    async fn casts_use_the_number_style_of_the_mapping() {
        let money = [Some("12.50"), Some("1234.00"), None, Some("7.00"), None];
        check("try_cast(price as decimal(19, 2))", &money).await;
        check(
            "try_cast(price as double) * 2",
            &[Some("25.0"), Some("2468.0"), None, Some("14.0"), None],
        )
        .await;
        check(
            "coalesce(try_cast(price as bigint), 0)",
            &[Some("0"), Some("1234"), Some("0"), Some("7"), Some("0")],
        )
        .await;
        // Literals of the mapping, and casts of numbers, are not changed.
        check("cast('1.5' as decimal(9, 1))", &[Some("1.5"); 5]).await;
        check(
            "cast(cast(1.5 as double) as decimal(9, 1))",
            &[Some("1.5"); 5],
        )
        .await;
        check("cast(cast(1.5 as double) as varchar)", &[Some("1,5"); 5]).await;
        check(
            "coalesce(cast(try_cast(price as decimal(9, 1)) as varchar), price)",
            &[
                Some("12,5"),
                Some("1234,0"),
                Some("12.50"),
                Some("7,0"),
                None,
            ],
        )
        .await;
        check(
            "price",
            &[Some("12,50"), Some("1.234"), Some("12.50"), Some("7"), None],
        )
        .await;
    }
}
