//! Columns that would have the same name: the planner refuses them within one `select`, and rows
//! as JSON objects would lose one of them. The second gets `_2` behind its name, and so on.
//!
//! The planner names what is cast as if it were not, also within aggregates, where no alias helps.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Select, SelectItem, Statement, Value, VisitorMut,
};

use crate::rewriting::expressions::call;
use crate::rewriting::walk::walk_mut;

/// How the planner's message tells that it refuses namesakes.
const REFUSAL: &str = "require unique expression names";

/// Whether a query was refused because columns of one `select` would have the same name.
pub(crate) fn is_refusal(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::SchemaError(of_schema, _) => matches!(
            of_schema.as_ref(),
            SchemaError::DuplicateUnqualifiedField { .. }
                | SchemaError::DuplicateQualifiedField { .. }
        ),
        other => other.to_string().contains(REFUSAL),
    }
}

/// A name that is not among `taken`, and is from now on.
pub(crate) fn untaken(name: &str, taken: &mut HashSet<String>) -> String {
    let mut free = name.to_owned();
    let mut number = 1;
    while !taken.insert(free.clone()) {
        number += 1;
        free = format!("{name}_{number}");
    }
    free
}

/// Names the columns of every `select` that may be namesakes of others in it, and tells apart what
/// is cast.
pub(crate) fn name_apart(statement: &mut Statement) {
    let _ = walk_mut(statement, &mut Selects);
    let _ = walk_mut(statement, &mut Apart::default());
}

/// Puts every cast into a function that gives its argument, and says how many casts of the same
/// there were before: `coalesce(cast(a as date), null)`.
#[derive(Default)]
struct Apart(HashMap<String, Vec<String>>);

impl VisitorMut for Apart {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Cast { expr: given, .. } = expr else {
            return ControlFlow::Continue(());
        };
        let casts = self.0.entry(given.to_string()).or_default();
        let text = expr.to_string();
        let at = casts.iter().position(|cast| *cast == text);
        let at = at.unwrap_or_else(|| {
            casts.push(text);
            casts.len() - 1
        });
        let cast = std::mem::replace(expr, Expr::value(Value::Null));
        let nulls = std::iter::repeat_n(Expr::value(Value::Null), at + 1);
        *expr = call("coalesce", [cast].into_iter().chain(nulls));
        ControlFlow::Continue(())
    }
}

struct Selects;

impl VisitorMut for Selects {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        name_items(&mut select.projection);
        ControlFlow::Continue(())
    }
}

fn name_items(items: &mut [SelectItem]) {
    let has_all = items.iter().any(|item| {
        matches!(
            item,
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
        )
    });
    let mut taken: HashSet<String> = items.iter().filter_map(given_name).collect();
    let all: Vec<Option<Seen>> = items.iter().map(Seen::of).collect();
    let columns = all.iter().flatten().filter(|this| this.is_column);
    taken.extend(columns.map(|this| this.name.clone()));
    for (at, item) in items.iter_mut().enumerate() {
        let (SelectItem::UnnamedExpr(expr), Some(this)) = (&*item, &all[at]) else {
            continue;
        };
        // A column gives way to a column before it, everything else to whatever has its name.
        let may_bear_it = |(other, seen): &(usize, &Option<Seen>)| match this.is_column {
            true => *other < at && seen.as_ref().is_some_and(|seen| seen.is_column),
            false => *other != at,
        };
        let others = all.iter().enumerate().filter(may_bear_it);
        let mut others = others.filter_map(|(_, seen)| seen.as_ref());
        // What an asterisk stands for may hold the name, too.
        let alias = match has_all || others.any(|other| other.is_namesake_of(this)) {
            true => untaken(&this.name, &mut taken),
            // It is called so where it is read.
            false if !this.is_column && this.is_of_column => this.plain.clone(),
            false => continue,
        };
        let alias = Ident::with_quote('"', alias);
        let expr = expr.clone();
        *item = SelectItem::ExprWithAlias { expr, alias };
    }
}

fn given_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        _ => None,
    }
}

/// What is selected, as far as its name goes.
struct Seen {
    /// How the column would be called.
    name: String,
    /// The same without casts, which the planner's names do not tell.
    plain: String,
    /// Whether it is a column without the casts.
    is_of_column: bool,
    /// Whether it is a column, and the table that it says it is of.
    is_column: bool,
    table: Option<String>,
}

impl Seen {
    fn of(item: &SelectItem) -> Option<Self> {
        let SelectItem::UnnamedExpr(expr) = item else {
            return None;
        };
        let mut plain = expr.clone();
        let _ = walk_mut(&mut plain, &mut Casts);
        let (name, table) = match expr {
            Expr::Identifier(name) => (name.value.clone(), None),
            Expr::CompoundIdentifier(parts) => {
                let (name, table) = parts.split_last().expect("a name has parts");
                let table: Vec<&str> = table.iter().map(|part| part.value.as_str()).collect();
                (name.value.clone(), Some(table.join(".")))
            }
            other => (other.to_string(), None),
        };
        let is_of_column = is_column(&plain);
        let plain = match &plain {
            Expr::Identifier(name) => name.value.clone(),
            Expr::CompoundIdentifier(parts) => {
                parts.last().expect("a name has parts").value.clone()
            }
            other => other.to_string(),
        };
        Some(Self {
            plain: plain.to_lowercase(),
            is_of_column,
            is_column: is_column(expr),
            name,
            table,
        })
    }

    /// Columns of two tables may have one name.
    fn is_namesake_of(&self, other: &Self) -> bool {
        let are_apart = self.table.is_some() && other.table.is_some() && self.table != other.table;
        self.plain == other.plain && !are_apart
    }
}

fn is_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

/// Takes casts and brackets away.
struct Casts;

impl VisitorMut for Casts {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast { expr: inner, .. } | Expr::Nested(inner) = expr {
            *expr = inner.as_ref().clone();
        }
        ControlFlow::Continue(())
    }
}
