//! Rewrites expressions of a plan by the types of the columns that they read.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DFSchemaRef, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Union};

pub(crate) type Rewrite<'a> = &'a dyn Fn(Expr, &Types) -> Result<Transformed<Expr>>;

/// The types of the input columns of a plan node, merged at the first use.
pub(crate) struct Types {
    inputs: Vec<DFSchemaRef>,
    merged: OnceCell<DFSchema>,
}

impl Types {
    fn of_node(plan: &LogicalPlan) -> Result<Self> {
        let inputs = plan.inputs().into_iter();
        let mut inputs: Vec<_> = inputs.map(|input| Arc::clone(input.schema())).collect();
        if let LogicalPlan::TableScan(scan) = plan
            && !scan.filters.is_empty()
        {
            let source_schema = scan.source.schema();
            let source_schema =
                DFSchema::try_from_qualified_schema(scan.table_name.clone(), &source_schema)?;
            inputs.push(Arc::new(source_schema));
        }
        Ok(Self {
            inputs,
            merged: OnceCell::new(),
        })
    }

    /// The type of an expression. References to outer columns carry their own type.
    ///
    /// # Errors
    /// A planning error where the expression has no type.
    pub(crate) fn of(&self, expr: &Expr) -> Result<DataType> {
        if let [only] = self.inputs.as_slice() {
            return expr.get_type(only.as_ref());
        }
        let merged = self.merged.get_or_init(|| {
            let mut merged = DFSchema::empty();
            for input in &self.inputs {
                merged.merge(input);
            }
            merged
        });
        expr.get_type(merged)
    }
}

/// Rewrites all expressions of a plan, bottom up.
///
/// # Errors
/// Any error of `rewrite`, and of typing the plan again.
pub(crate) fn rewrite_plan(plan: LogicalPlan, rewrite: Rewrite<'_>) -> Result<LogicalPlan> {
    let is_changed = Cell::new(false);
    let plan = plan.transform_up_with_subqueries(|plan| {
        let types = Types::of_node(&plan)?;
        let names = NamePreserver::new(&plan);
        let plan = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|expr| rewrite(expr, &types))?;
            Ok(match expr.transformed {
                true => expr.update_data(|expr| name.restore(expr)),
                false => expr,
            })
        })?;
        is_changed.set(is_changed.get() || plan.transformed);
        match is_changed.get() {
            true => plan.map_data(|plan| union_with_input_types(plan)?.recompute_schema()),
            false => Ok(plan),
        }
    })?;
    Ok(plan.data)
}

/// A union does not recompute the types of its columns by itself.
fn union_with_input_types(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Union(Union { inputs, schema }) = plan else {
        return Ok(plan);
    };
    let first_schema = inputs.first().map(|input| Arc::clone(input.schema()));
    let fields = schema.iter().enumerate().map(|(at, (relation, field))| {
        let found = first_schema
            .as_ref()
            .map(|first| first.field(at).data_type());
        let field = match (field.data_type(), found) {
            (DataType::Timestamp(..), Some(found @ DataType::Timestamp(..))) => {
                Arc::new(field.as_ref().clone().with_data_type(found.clone()))
            }
            _ => Arc::clone(field),
        };
        (relation.cloned(), field)
    });
    let schema = DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())?;
    Ok(LogicalPlan::Union(Union {
        inputs,
        schema: Arc::new(schema),
    }))
}
