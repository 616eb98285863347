//! Custom traits of a tenant: each is a `select` with at most one value for each person.
//!
//! Traits are planned when a session is finished, before `people` exists, since they become columns
//! of `people`. A trait that cannot be planned does not affect other queries: its error is reported
//! to the queries that use the trait.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Int64Type, Schema};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::session_state::SessionState;
use datafusion::functions_aggregate::expr_fn::{count, first_value};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, cast, ident, lit, when,
};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use rollbook_model::config::Limits;

use crate::error::EngineError;
use crate::opaque::Opaque;
use crate::sql::check::{check_criteria, planned};
use crate::sql::diagnosis::Diagnosis;
use crate::sql::literals::with_doubles;
use crate::sql::parsing;
use crate::sql::type_names::plain_types;
use crate::wrapped_errors::{DuplicateTraitRow, InvalidTrait};

const PEOPLE: &str = "people";
const PERSON_ID: &str = "person_id";
const VALUE: &str = "value";
/// The number of rows of a person.
const ROWS: &str = "rows";

/// A trait as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomTrait {
    /// The name of its column in `people`.
    pub name: String,
    /// One `select` with the columns `person_id` and one more.
    pub sql: String,
    /// The value for persons without a row, as a SQL literal; null if there is none.
    pub default: Option<String>,
}

/// A trait that was planned over the tables of a session.
#[derive(Debug)]
pub(crate) struct PlannedTrait {
    pub(crate) name: String,
    /// The alias that `people` joins the trait under.
    relation: String,
    rows: std::result::Result<Values, Arc<EngineError>>,
}

/// The plan with one row for each person who has a value.
#[derive(Debug)]
struct Values {
    plan: Opaque<LogicalPlan>,
    ty: DataType,
    default: ScalarValue,
}

impl PlannedTrait {
    pub(crate) async fn new(state: &SessionState, one: &CustomTrait, limits: &Limits) -> Self {
        let rows = Values::plan(state, one, limits).await;
        Self {
            name: one.name.clone(),
            relation: format!("_own_{}", one.name),
            rows: rows.map_err(Arc::new),
        }
    }

    /// The type of the values, as users write it.
    ///
    /// # Errors
    /// The error of planning the trait.
    pub(crate) fn ty(&self) -> std::result::Result<String, Arc<EngineError>> {
        match &self.rows {
            Ok(values) => Ok(plain_types(&values.ty.to_string())),
            Err(error) => Err(Arc::clone(error)),
        }
    }

    /// The type of the column; null for a trait that cannot be planned.
    pub(crate) fn data_type(&self) -> DataType {
        let values = self.rows.as_ref();
        values.map_or(DataType::Null, |values| values.ty.clone())
    }

    pub(crate) fn relation(&self) -> &str {
        &self.relation
    }

    /// The rows `person_id` and value, one for each person.
    ///
    /// # Errors
    /// [`InvalidTrait`] where the trait cannot be planned.
    pub(crate) fn rows(&self) -> Result<LogicalPlanBuilder> {
        match &self.rows {
            Ok(values) => LogicalPlanBuilder::from(LogicalPlan::clone(&values.plan))
                .alias(self.relation.as_str()),
            Err(error) => Err(DataFusionError::External(Box::new(InvalidTrait {
                name: self.name.clone(),
                source: Arc::clone(error),
            }))),
        }
    }

    /// The expression of the trait over the rows of `people`, joined with the rows of the trait.
    ///
    /// # Errors
    /// A planning error where the default value does not fit.
    pub(crate) fn value(&self) -> Result<Expr> {
        let of = |name: &str| Expr::Column(Column::new(Some(self.relation.as_str()), name));
        match &self.rows {
            Ok(values) if !values.default.is_null() => {
                when(of(PERSON_ID).is_null(), lit(values.default.clone())).otherwise(of(VALUE))
            }
            _ => Ok(of(VALUE)),
        }
    }
}

impl Values {
    async fn plan(
        state: &SessionState,
        one: &CustomTrait,
        limits: &Limits,
    ) -> std::result::Result<Self, EngineError> {
        let parsed = parsing::query(&one.sql, limits)?;
        let diagnosis = Diagnosis::new(state, &parsed.tokens, limits);
        let chosen = planned(state, Statement::clone(&parsed.tree), &diagnosis).await;
        let chosen = chosen.map_err(|error| match error {
            EngineError::UnknownTable {
                table, position, ..
            } if table == PEOPLE => EngineError::TraitReadsPeople { position },
            other => other,
        })?;
        // Type coercion decides about some types.
        let config = state.config_options();
        let analysed = state.analyzer();
        let analysed = analysed.execute_and_check(chosen, config, |_, _| {});
        let chosen = analysed.map_err(|error| diagnosis.explain(error))?;
        check_criteria(&chosen, &diagnosis)?;
        let fields = chosen.schema().fields();
        let is_id = |name: &str, ty: &DataType| name == PERSON_ID && ty.is_integer();
        let value = match fields.as_ref() {
            [id, value] if is_id(id.name(), id.data_type()) => Some(value),
            [value, id] if is_id(id.name(), id.data_type()) => Some(value),
            _ => None,
        };
        let value = value.filter(|value| *value.data_type() != DataType::Null);
        let Some((name, ty)) = value.map(|value| (value.name(), value.data_type().clone())) else {
            let found = fields.iter().map(|field| {
                let ty = plain_types(&field.data_type().to_string());
                format!("`{}` ({ty})", field.name())
            });
            let found = found.collect::<Vec<_>>().join(", ");
            return Err(EngineError::NotATrait { found });
        };
        let default = match &one.default {
            Some(text) => default(state, text, &ty, limits)?,
            None => ScalarValue::Null,
        };
        let plan = one_row_per_person(&one.name, &chosen, name);
        Ok(Self {
            plan: Opaque::new(plan.map_err(|error| diagnosis.explain(error))?),
            ty,
            default,
        })
    }
}

/// The rows of known persons; a query that reads a second row of a person fails.
fn one_row_per_person(of: &str, chosen: &LogicalPlan, value: &str) -> Result<LogicalPlan> {
    let single_row = ScalarUDF::from(SingleRow::new(of));
    LogicalPlanBuilder::from(chosen.clone())
        .alias("_chosen")?
        .project(vec![
            cast(ident(PERSON_ID), DataType::Int64).alias(PERSON_ID),
            Expr::Column(Column::new(Some("_chosen"), value)).alias(VALUE),
        ])?
        // Person 0 stands for everybody who is not linked yet, and null for nobody.
        .filter(ident(PERSON_ID).not_eq(lit(0_i64)))?
        .aggregate(
            vec![ident(PERSON_ID)],
            vec![
                first_value(ident(VALUE), Vec::new()).alias(VALUE),
                count(lit(1_i64)).alias(ROWS),
            ],
        )?
        .project(vec![
            ident(PERSON_ID),
            single_row
                .call(vec![ident(VALUE), ident(ROWS), ident(PERSON_ID)])
                .alias(VALUE),
        ])?
        .build()
}

/// The value of a literal, cast to the type of a column.
fn default(
    state: &SessionState,
    text: &str,
    ty: &DataType,
    limits: &Limits,
) -> std::result::Result<ScalarValue, EngineError> {
    let wrong = || EngineError::TraitDefault {
        default: text.to_owned(),
        ty: plain_types(&ty.to_string()),
    };
    let parsed = parsing::condition(text, limits).map_err(|_| wrong())?;
    if !is_literal(&parsed.tree) {
        return Err(wrong());
    }
    let value = literal(state, ast::Expr::clone(&parsed.tree)).map_err(|_| wrong())?;
    let cast = value.cast_to(ty).map_err(|_| wrong())?;
    // A fraction is not an integer, although it can be cast to one.
    let is_inexact = value.data_type().is_numeric()
        && cast
            .cast_to(&value.data_type())
            .map_or(true, |back| back != value);
    match is_inexact || (cast.is_null() && !value.is_null()) {
        true => Err(wrong()),
        false => Ok(cast),
    }
}

fn is_literal(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Value(_) | ast::Expr::TypedString(_) => true,
        ast::Expr::UnaryOp { op, expr } => {
            matches!(op, ast::UnaryOperator::Minus | ast::UnaryOperator::Plus)
                && matches!(expr.as_ref(), ast::Expr::Value(_))
        }
        _ => false,
    }
}

fn literal(state: &SessionState, mut expr: ast::Expr) -> Result<ScalarValue> {
    let nothing = DFSchema::empty();
    with_doubles(&mut expr);
    let expr = ast::ExprWithAlias { expr, alias: None };
    let expr = state.create_logical_expr_from_sql_expr(expr, &nothing)?;
    let expr = state.create_physical_expr(expr, &nothing)?;
    let row = RecordBatch::try_new_with_options(
        Arc::new(Schema::empty()),
        Vec::new(),
        &RecordBatchOptions::new().with_row_count(Some(1)),
    )?;
    match expr.evaluate(&row)? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(values) => ScalarValue::try_from_array(&values, 0),
    }
}

/// The function that returns the value of a person's only row, and fails for a person with more
/// rows.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleRow {
    /// The name of the trait.
    of: String,
    signature: Signature,
}

impl SingleRow {
    fn new(of: &str) -> Self {
        Self {
            of: of.to_owned(),
            signature: Signature::any(3, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for SingleRow {
    fn name(&self) -> &str {
        "_only"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [values, rows, persons]: [ArrayRef; 3] = ColumnarValue::values_to_arrays(&args.args)?
            .try_into()
            .expect("the signature has three arguments");
        let rows = rows.as_primitive::<Int64Type>();
        match rows.values().iter().position(|rows| *rows > 1) {
            None => Ok(ColumnarValue::Array(values)),
            Some(at) => {
                let persons = persons.as_primitive::<Int64Type>();
                debug_assert!(
                    persons.is_valid(at),
                    "rows of nobody are filtered out before"
                );
                Err(DataFusionError::External(Box::new(DuplicateTraitRow {
                    name: self.of.clone(),
                    person: persons.value(at),
                })))
            }
        }
    }
}
