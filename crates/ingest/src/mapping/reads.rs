//! Lineage: which source columns each output column of a mapping reads, through joins, subqueries and
//! window functions. An output whose source columns are missing from a row's files keeps its known value.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan};

/// The source columns from which a value is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reads {
    /// A column of a source, with the index of the source in the mapping.
    Column(usize, String),
    /// Several parts; empty for a constant.
    Any(Vec<Arc<Reads>>),
    /// A `case`: if the columns of its conditions are missing, its value is that of its `else`.
    Case {
        /// The columns of its conditions.
        decides: Arc<Reads>,
        /// The columns of its `else`.
        otherwise: Arc<Reads>,
        /// All its columns.
        all: Arc<Reads>,
    },
}

/// The column that stands for the presence of a source as a whole.
pub(crate) const PRESENCE: &str = "_file";

impl Reads {
    /// Whether one of the source columns that this column reads is present, according to `has`; never for a
    /// constant.
    pub(crate) fn is_there(&self, has: &dyn Fn(usize, &str) -> bool) -> bool {
        match self {
            Self::Column(source, column) => has(*source, column),
            Self::Any(parts) => parts.iter().any(|part| part.is_there(has)),
            Self::Case {
                decides, otherwise, ..
            } if !decides.is_constant() => decides.is_there(has) || otherwise.is_there(has),
            Self::Case { all, .. } => all.is_there(has),
        }
    }

    /// Whether the column reads no column of any source.
    pub(crate) fn is_constant(&self) -> bool {
        match self {
            Self::Column(..) => false,
            Self::Any(parts) => parts.iter().all(|part| part.is_constant()),
            Self::Case { all, .. } => all.is_constant(),
        }
    }

    /// Whether the column reads the driving source.
    pub(crate) fn is_of_driving(&self) -> bool {
        match self {
            Self::Column(source, _) => *source == 0,
            Self::Any(parts) => parts.iter().any(|part| part.is_of_driving()),
            Self::Case { all, .. } => all.is_of_driving(),
        }
    }

    /// Calls a function for each source column that this column reads.
    pub(crate) fn for_each(&self, found: &mut impl FnMut(usize, &str)) {
        match self {
            Self::Column(source, column) => found(*source, column),
            Self::Any(parts) => parts.iter().for_each(|part| part.for_each(found)),
            Self::Case { all, .. } => all.for_each(found),
        }
    }
}

fn any(mut parts: Vec<Arc<Reads>>) -> Arc<Reads> {
    // A part that is read twice is kept once, however deep subqueries are.
    let mut seen = HashSet::new();
    parts.retain(|part| seen.insert(Arc::as_ptr(part)));
    match <[Arc<Reads>; 1]>::try_from(parts) {
        Ok([one]) => one,
        Err(parts) => Arc::new(Reads::Any(parts)),
    }
}

/// The source columns that each output column of a plan reads. `source_of` maps a table of the plan to the
/// index of its source.
pub(crate) fn reads(
    plan: &LogicalPlan,
    source_of: &dyn Fn(&str) -> Option<usize>,
) -> Vec<Arc<Reads>> {
    let of = |plan: &LogicalPlan| reads(plan, source_of);
    let of_all = |exprs: &[Expr], input: &LogicalPlan| -> Vec<Arc<Reads>> {
        let within = Within {
            schema: input.schema(),
            columns: of(input),
            presence: presence(input, source_of),
            source_of,
        };
        exprs.iter().map(|expr| within.of(expr)).collect()
    };
    let found = match plan {
        LogicalPlan::TableScan(scan) => {
            let source = source_of(scan.table_name.table());
            let fields = scan.projected_schema.fields().iter();
            let read = |name: &str| match source {
                Some(source) => Arc::new(Reads::Column(source, name.to_owned())),
                None => any(Vec::new()),
            };
            fields.map(|field| read(field.name())).collect()
        }
        LogicalPlan::Projection(node) => of_all(&node.expr, &node.input),
        LogicalPlan::Window(node) => {
            let mut columns = of(&node.input);
            columns.extend(of_all(&node.window_expr, &node.input));
            columns
        }
        LogicalPlan::Aggregate(node) => {
            let mut columns = of_all(&node.group_expr, &node.input);
            columns.extend(of_all(&node.aggr_expr, &node.input));
            columns
        }
        LogicalPlan::Distinct(Distinct::On(node)) => of_all(&node.select_expr, &node.input),
        LogicalPlan::Join(node) => {
            let (mut left, mut right) = (of(&node.left), of(&node.right));
            match node.join_type {
                JoinType::LeftSemi | JoinType::LeftAnti => left,
                JoinType::RightSemi | JoinType::RightAnti => right,
                JoinType::LeftMark => {
                    left.push(any(right));
                    left
                }
                JoinType::RightMark => {
                    right.push(any(left));
                    right
                }
                _ => {
                    left.append(&mut right);
                    left
                }
            }
        }
        LogicalPlan::Union(node) => {
            let inputs: Vec<_> = node.inputs.iter().map(|input| of(input)).collect();
            let column = |at: usize| {
                let parts = inputs.iter().filter_map(|input| input.get(at));
                any(parts.cloned().collect())
            };
            (0..node.schema.fields().len()).map(column).collect()
        }
        LogicalPlan::RecursiveQuery(node) => of(&node.static_term),
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => plan
            .inputs()
            .first()
            .map(|input| of(input))
            .unwrap_or_default(),
        _ => Vec::new(),
    };
    let columns = plan.schema().fields().len();
    if found.len() == columns {
        return found;
    }
    // Other nodes: each output may be computed from all inputs.
    let all = any(plan.inputs().into_iter().flat_map(of).collect());
    vec![all; columns]
}

/// The presence of the sources of a relation: what a constant or a count over it depends on. The driving
/// source is always present, so a relation with it depends on nothing.
fn presence(plan: &LogicalPlan, source_of: &dyn Fn(&str) -> Option<usize>) -> Arc<Reads> {
    let mut found = Vec::new();
    let walked = plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = source_of(scan.table_name.table())
        {
            found.push(Arc::new(Reads::Column(source, PRESENCE.to_owned())));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(walked.is_ok(), "nothing in the walk fails");
    if found.iter().any(|read| read.is_of_driving()) {
        found.clear();
    }
    any(found)
}

/// The columns that an expression can name.
struct Within<'a> {
    schema: &'a DFSchema,
    columns: Vec<Arc<Reads>>,
    presence: Arc<Reads>,
    source_of: &'a dyn Fn(&str) -> Option<usize>,
}

impl Within<'_> {
    /// The source columns of an output expression; a constant depends on the presence of its relation.
    fn of(&self, expr: &Expr) -> Arc<Reads> {
        let read = self.of_part(expr);
        match read.is_constant() {
            true => Arc::clone(&self.presence),
            false => read,
        }
    }

    fn of_part(&self, expr: &Expr) -> Arc<Reads> {
        match expr {
            Expr::Column(column) => {
                let place = self.schema.index_of_column(column).ok();
                let found = place.and_then(|place| self.columns.get(place));
                found.cloned().unwrap_or_else(|| any(Vec::new()))
            }
            Expr::Case(case) => self.of_case(case),
            Expr::AggregateFunction(call) => self.of_call(&call.params.args),
            Expr::WindowFunction(call) => self.of_call(&call.params.args),
            Expr::ScalarSubquery(query) => self.of_query(&query.subquery),
            Expr::Exists(exists) => presence(&exists.subquery.subquery, self.source_of),
            Expr::InSubquery(within) => any(vec![
                self.of_part(&within.expr),
                self.of_query(&within.subquery.subquery),
            ]),
            Expr::SetComparison(within) => any(vec![
                self.of_part(&within.expr),
                self.of_query(&within.subquery.subquery),
            ]),
            other => {
                let mut parts = Vec::new();
                let walked = other.apply_children(|child| {
                    parts.push(self.of_part(child));
                    Ok(TreeNodeRecursion::Continue)
                });
                debug_assert!(walked.is_ok(), "nothing in the walk fails");
                any(parts)
            }
        }
    }

    /// The source columns of an aggregate or window function; without arguments it depends on the presence of
    /// rows.
    fn of_call(&self, arguments: &[Expr]) -> Arc<Reads> {
        let read = any(arguments.iter().map(|one| self.of_part(one)).collect());
        match read.is_constant() {
            true => Arc::clone(&self.presence),
            false => read,
        }
    }

    fn of_query(&self, query: &LogicalPlan) -> Arc<Reads> {
        any(reads(query, self.source_of))
    }

    fn of_case(&self, case: &Case) -> Arc<Reads> {
        let base = case.expr.iter().map(|base| self.of_part(base));
        let conditions = case
            .when_then_expr
            .iter()
            .map(|(when, _)| self.of_part(when));
        let decides = any(base.chain(conditions).collect());
        let otherwise = any(case.else_expr.iter().map(|one| self.of_part(one)).collect());
        let values = case
            .when_then_expr
            .iter()
            .map(|(_, then)| self.of_part(then));
        let parts = [Arc::clone(&decides), Arc::clone(&otherwise)];
        let all = any(parts.into_iter().chain(values).collect());
        Arc::new(Reads::Case {
            decides,
            otherwise,
            all,
        })
    }
}
