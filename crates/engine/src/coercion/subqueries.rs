//! Subqueries in conditions, with the results that SQL defines.
//!
//! DataFusion turns subqueries into joins. With nulls, aggregates, limits and outer joins the
//! result of some joins differs from that of the subquery. This rule rewrites such subqueries to
//! equivalent forms, or refuses them. It runs after type coercion.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, Result, ScalarValue, not_impl_err};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Distinct, Expr, ExprSchemable, Filter, JoinType, Limit, LogicalPlan,
    LogicalPlanBuilder, Operator, Subquery, lit, when,
};
use datafusion::optimizer::AnalyzerRule;

/// How messages name a subquery that is refused.
const CORRELATED: &str = "a subquery that refers to a column of the outer query";

/// Rewrites subqueries to forms that DataFusion turns into correct joins.
#[derive(Debug)]
pub(crate) struct SoundSubqueries;

impl AnalyzerRule for SoundSubqueries {
    fn name(&self) -> &'static str {
        "sound_subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(rewrite_node);
        plan.map(|plan| plan.data)
    }
}

fn rewrite_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found = found || has_subquery(expr)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    if !found {
        return Ok(Transformed::no(plan));
    }
    let schema = merge_schema(&plan.inputs());
    if let LogicalPlan::Filter(filter) = plan {
        let condition = SubqueryRewriter {
            schema: &schema,
            becomes_join: true,
        };
        let condition = condition.of(filter.predicate, true)?;
        let filter = Filter::try_new(condition, filter.input)?;
        return Ok(Transformed::yes(LogicalPlan::Filter(filter)));
    }
    let rewriter = SubqueryRewriter {
        schema: &schema,
        becomes_join: false,
    };
    let names = NamePreserver::new(&plan);
    let is_projection = matches!(plan, LogicalPlan::Projection(_));
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let expr = rewriter.of(expr, false)?;
        // Outside of filters and projections DataFusion creates the join late, when conditions have
        // lost the names of their tables.
        if !is_projection && has_ambiguous_outer_column(&expr)? {
            return not_impl_err!(
                "{CORRELATED} and has a column of the same name, in a `group by` or an aggregate: give \
                 its table another name"
            );
        }
        Ok(Transformed::yes(name.restore(expr)))
    })?
    .map_data(LogicalPlan::recompute_schema)
}

/// Whether an expression contains a subquery that refers to an outer column, and reads a column of
/// the same name.
fn has_ambiguous_outer_column(expr: &Expr) -> Result<bool> {
    expr.exists(|part| {
        let subquery = match part {
            Expr::InSubquery(one) => &one.subquery,
            Expr::Exists(one) => &one.subquery,
            Expr::SetComparison(one) => &one.subquery,
            Expr::ScalarSubquery(subquery) => subquery,
            _ => return Ok(false),
        };
        let outside = subquery.subquery.all_out_ref_exprs();
        let outside = outside.iter().flat_map(|one| match one {
            Expr::OuterReferenceColumn(_, column) => Some(column),
            _ => None,
        });
        let outside: Vec<&Column> = outside.collect();
        let mut is_own = false;
        subquery.subquery.apply_with_subqueries(|plan| {
            is_own |= outside
                .iter()
                .any(|column| plan.schema().has_column(column));
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(is_own)
    })
}

fn has_subquery(expr: &Expr) -> Result<bool> {
    expr.exists(|part| {
        Ok(matches!(
            part,
            Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::ScalarSubquery(_)
        ))
    })
}

/// Rewrites the expressions of one node of a plan.
struct SubqueryRewriter<'a> {
    schema: &'a DFSchema,
    /// Whether subqueries become joins; otherwise they become counts.
    becomes_join: bool,
}

impl SubqueryRewriter<'_> {
    /// An equivalent expression that DataFusion handles correctly. In a `condition` null counts as
    /// false.
    fn of(&self, expr: Expr, condition: bool) -> Result<Expr> {
        match expr {
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: op @ (Operator::And | Operator::Or),
                right,
            }) => {
                let (left, right) = (self.of(*left, condition)?, self.of(*right, condition)?);
                Ok(Expr::BinaryExpr(BinaryExpr::new(
                    Box::new(left),
                    op,
                    Box::new(right),
                )))
            }
            Expr::Not(inner) => match *inner {
                Expr::InSubquery(InSubquery {
                    expr,
                    subquery,
                    negated,
                }) => self.in_subquery(*expr, subquery, !negated, condition),
                Expr::Exists(Exists { subquery, negated }) => self.exists(subquery, !negated),
                other => Ok(Expr::Not(Box::new(self.of(other, false)?))),
            },
            Expr::IsTrue(inner) => Ok(Expr::IsTrue(Box::new(self.of(*inner, true)?))),
            Expr::IsNotTrue(inner) => Ok(Expr::IsNotTrue(Box::new(self.of(*inner, true)?))),
            Expr::InSubquery(InSubquery {
                expr,
                subquery,
                negated,
            }) => self.in_subquery(*expr, subquery, negated, condition),
            Expr::Exists(Exists { subquery, negated }) => self.exists(subquery, negated),
            Expr::SetComparison(comparison) => self.quantified(comparison),
            Expr::ScalarSubquery(subquery) => {
                check_correlation(&subquery.subquery, false)?;
                Ok(Expr::ScalarSubquery(subquery))
            }
            other => {
                let inner = other.map_children(|part| self.of(part, false).map(Transformed::yes));
                inner.map(|inner| inner.data)
            }
        }
    }

    /// `expr in (subquery)` or `expr not in (subquery)`.
    fn in_subquery(
        &self,
        expr: Expr,
        subquery: Subquery,
        negated: bool,
        condition: bool,
    ) -> Result<Expr> {
        let expr = self.of(expr, false)?;
        if gives_one_row(&subquery.subquery) {
            let op = if negated {
                Operator::NotEq
            } else {
                Operator::Eq
            };
            check_correlation(&subquery.subquery, false)?;
            return Ok(binary(expr, op, Expr::ScalarSubquery(subquery)));
        }
        let subquery = unordered(subquery)?;
        check_correlation(&subquery.subquery, false)?;
        let (expr_is_null, given_is_null) = (
            expr.nullable(self.schema).unwrap_or(true),
            subquery.subquery.schema().field(0).is_nullable(),
        );
        let is_two_valued = !expr_is_null && !given_is_null;
        if self.becomes_join && (is_two_valued || !negated && condition) {
            let among = InSubquery::new(Box::new(expr), subquery, negated);
            return Ok(Expr::InSubquery(among));
        }
        let outer = self.outer_reference_to(expr.clone())?;
        let rows = &with_unique_column_name(subquery)?;
        let column = Expr::Column(Column::from(rows.subquery.schema().qualified_field(0)));
        let found = self.has_rows(rows, Some(binary(column.clone(), Operator::Eq, outer)))?;
        let has_null = match given_is_null {
            true => Some(self.has_rows(rows, Some(column.is_null()))?),
            false => None,
        };
        let null_among_some = match expr_is_null {
            true => Some((expr.clone().is_null(), self.has_rows(rows, None)?)),
            false => None,
        };
        if negated && condition {
            let mut all = not(found);
            if let Some(has_null) = has_null {
                all = all.and(not(has_null));
            }
            if let Some((_, has_rows)) = null_among_some {
                all = all.and(expr.is_not_null().or(not(has_rows)));
            }
            return Ok(all);
        }
        let mut unknown = lit(false);
        if let Some(has_null) = has_null {
            unknown = unknown.or(has_null);
        }
        if let Some((is_null, has_rows)) = null_among_some {
            unknown = unknown.or(is_null.and(has_rows));
        }
        let (yes, no) = if negated {
            (false, true)
        } else {
            (true, false)
        };
        when(found, lit(yes))
            .when(unknown, lit(ScalarValue::Boolean(None)))
            .otherwise(lit(no))
    }

    fn exists(&self, subquery: Subquery, negated: bool) -> Result<Expr> {
        let subquery = unordered(subquery)?;
        if gives_one_row(&subquery.subquery) {
            return Ok(lit(!negated));
        }
        check_correlation(&subquery.subquery, true)?;
        let exists = self.has_rows(&subquery, None)?;
        Ok(if negated { not(exists) } else { exists })
    }

    /// `expr <op> any (subquery)` or `expr <op> all (subquery)`.
    fn quantified(&self, comparison: SetComparison) -> Result<Expr> {
        let SetComparison {
            expr,
            subquery,
            op,
            quantifier,
        } = comparison;
        let expr = self.of(*expr, false)?;
        let subquery = unordered(subquery)?;
        check_correlation(&subquery.subquery, false)?;
        if gives_one_row(&subquery.subquery) {
            return Ok(binary(expr, op, Expr::ScalarSubquery(subquery)));
        }
        if !self.becomes_join {
            return not_impl_err!("`any` and `all` with a subquery are supported in `where` only");
        }
        // DataFusion's rewrite refers to the operand from inside the subquery.
        self.outer_reference_to(expr.clone())?;
        let subquery = with_unique_column_name(subquery)?;
        let comparison = SetComparison::new(Box::new(expr), subquery, op, quantifier);
        Ok(Expr::SetComparison(comparison))
    }

    /// Whether a subquery has rows that meet a condition.
    fn has_rows(&self, subquery: &Subquery, condition: Option<Expr>) -> Result<Expr> {
        let mut rows = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone());
        if let Some(condition) = condition {
            rows = rows.filter(condition)?;
        }
        let mut rows = rows.build()?;
        if rows.all_out_ref_exprs().is_empty() {
            // A subquery without outer columns has the same result for every row: one row suffices.
            rows = LogicalPlanBuilder::from(rows).limit(0, Some(1))?.build()?;
        }
        if self.becomes_join {
            return Ok(Expr::Exists(Exists {
                subquery: as_subquery(rows, subquery),
                negated: false,
            }));
        }
        let rows = LogicalPlanBuilder::from(rows)
            .aggregate(Vec::<Expr>::new(), vec![count(lit(1_i64)).alias("rows")])?
            .project(vec![Expr::Column(Column::from_name("rows")).gt(lit(0_i64))])?
            .build()?;
        Ok(Expr::ScalarSubquery(as_subquery(rows, subquery)))
    }

    /// An expression, as a subquery refers to it.
    fn outer_reference_to(&self, expr: Expr) -> Result<Expr> {
        if has_subquery(&expr)? || expr.contains_outer() {
            return not_impl_err!(
                "{CORRELATED}, compared with a value that is a subquery or a column of another outer query"
            );
        }
        let outer = expr.transform_up(|part| match part {
            Expr::Column(column) => {
                let field = self.schema.field_from_column(&column)?;
                Ok(Transformed::yes(Expr::OuterReferenceColumn(
                    Arc::clone(field),
                    column,
                )))
            }
            other => Ok(Transformed::no(other)),
        });
        outer.map(|outer| outer.data)
    }
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn not(expr: Expr) -> Expr {
    match expr {
        Expr::Exists(Exists { subquery, negated }) => Expr::Exists(Exists {
            subquery,
            negated: !negated,
        }),
        other => Expr::Not(Box::new(other)),
    }
}

fn as_subquery(plan: LogicalPlan, like: &Subquery) -> Subquery {
    Subquery {
        outer_ref_columns: plan.all_out_ref_exprs(),
        subquery: Arc::new(plan),
        spans: like.spans.clone(),
    }
}

/// The subquery with a unique name for its column. The outer operand may belong to a table that the
/// subquery reads too; without the new name DataFusion confuses the two columns.
fn with_unique_column_name(subquery: Subquery) -> Result<Subquery> {
    static NAMES: AtomicU64 = AtomicU64::new(0);
    let name = format!("_within_{}", NAMES.fetch_add(1, Ordering::Relaxed));
    let column = Expr::Column(Column::from(subquery.subquery.schema().qualified_field(0)));
    let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone());
    let plan = plan.project(vec![column.alias(name)])?;
    Ok(as_subquery(plan.build()?, &subquery))
}

/// The subquery without an `order by` that does not affect its result.
fn unordered(subquery: Subquery) -> Result<Subquery> {
    let plan = subquery.subquery.as_ref().clone();
    let plan = plan.transform_down(|plan| match plan {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
            Ok(Transformed::yes(sort.input.as_ref().clone()))
        }
        same @ (LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_)) => {
            Ok(Transformed::no(same))
        }
        other => Ok(Transformed::new(other, false, TreeNodeRecursion::Jump)),
    })?;
    Ok(as_subquery(plan.data, &subquery))
}

/// Whether a query has exactly one row: an aggregate without `group by`.
fn gives_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => gives_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => gives_one_row(&alias.input),
        LogicalPlan::Sort(sort) => gives_one_row(&sort.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        _ => false,
    }
}

/// Refuses a subquery with conditions on outer columns that cannot be moved out of it.
fn check_correlation(plan: &LogicalPlan, is_exists: bool) -> Result<()> {
    if plan.all_out_ref_exprs().is_empty() {
        return Ok(());
    }
    match plan {
        LogicalPlan::Limit(Limit {
            skip: None, input, ..
        }) if is_exists => check_inputs(input),
        LogicalPlan::Projection(projection) if is_exists => {
            check_correlation(&projection.input, true)
        }
        LogicalPlan::SubqueryAlias(alias) if is_exists => check_correlation(&alias.input, true),
        other => check_inputs(other),
    }
}

fn check_inputs(plan: &LogicalPlan) -> Result<()> {
    if plan.all_out_ref_exprs().is_empty() {
        return Ok(());
    }
    let inputs = match plan {
        LogicalPlan::Join(join) => {
            let has = |plan: &LogicalPlan| !plan.all_out_ref_exprs().is_empty();
            let keeps_rows = match join.join_type {
                JoinType::Inner => [true, true],
                JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => [true, false],
                JoinType::Right | JoinType::RightSemi | JoinType::RightAnti => [false, true],
                _ => [false, false],
            };
            let sides = [&join.left, &join.right].into_iter().zip(keeps_rows);
            if sides
                .into_iter()
                .any(|(side, keeps_rows)| !keeps_rows && has(side))
            {
                return not_impl_err!(
                    "{CORRELATED}, on the optional side of an outer join or in a set operation"
                );
            }
            vec![join.left.as_ref(), join.right.as_ref()]
        }
        LogicalPlan::Aggregate(aggregate) => {
            let mut groups = aggregate.group_expr.iter();
            if groups.any(|group| matches!(group, Expr::GroupingSet(_))) {
                return not_impl_err!("{CORRELATED}, with `rollup`, `cube` or `grouping sets`");
            }
            if let Some(filtered) = filtered_global_aggregate(&aggregate.input) {
                return not_impl_err!("{CORRELATED}, with an aggregate over {filtered}");
            }
            vec![aggregate.input.as_ref()]
        }
        LogicalPlan::Filter(filter) => {
            if filtered_global_aggregate(plan).is_some() {
                return not_impl_err!("{CORRELATED}, with `having` and without `group by`");
            }
            vec![filter.input.as_ref()]
        }
        LogicalPlan::Limit(_) => {
            return not_impl_err!(
                "{CORRELATED}, with `limit` or `offset`: an aggregate such as max() gives one value"
            );
        }
        LogicalPlan::Window(_) => return not_impl_err!("{CORRELATED}, with a window function"),
        LogicalPlan::Union(_) => return not_impl_err!("{CORRELATED}, with `union`"),
        LogicalPlan::Distinct(Distinct::On(_)) => {
            return not_impl_err!("{CORRELATED}, with `distinct on`");
        }
        other => other.inputs(),
    };
    inputs.into_iter().try_for_each(check_inputs)
}

/// Describes an aggregate without `group by` that a filter may remove.
fn filtered_global_aggregate(plan: &LogicalPlan) -> Option<&'static str> {
    match plan {
        LogicalPlan::Filter(filter) if gives_one_row(&filter.input) => {
            Some("an aggregate with `having`")
        }
        LogicalPlan::Projection(projection) => filtered_global_aggregate(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => filtered_global_aggregate(&alias.input),
        _ => None,
    }
}
