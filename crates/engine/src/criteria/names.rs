//! The columns that conditions name.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use arrow::datatypes::Schema;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, Visitor};
use rollbook_model::tables::PERSONS;

use crate::rewriting::walk::walk;

/// What conditions name, whatever it turns out to be.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: BTreeSet<String>,
    /// Whether there is a query within one of them.
    any_query: bool,
}

impl Names {
    /// Adds what a condition names.
    pub(crate) fn note(&mut self, condition: &Expr) {
        let _ = walk(condition, self);
    }

    /// Adds what a query names.
    pub(crate) fn note_query(&mut self, query: &Statement) {
        if let Statement::Statement(query) = query {
            let _ = walk(query, self);
        }
    }

    /// Those that are among `wanted`.
    pub(crate) fn among(&self, wanted: &BTreeSet<String>) -> BTreeSet<String> {
        self.names.intersection(wanted).cloned().collect()
    }

    /// Those that are columns of `people`; `None` where one is personal or among `never`, or a query
    /// looks further.
    pub(crate) fn of(self, people: &Schema, never: &BTreeSet<String>) -> Option<Vec<String>> {
        let is_personal = |name: &String| PERSONS.column(name).is_some_and(|one| one.personal);
        if self.any_query || self.names.iter().any(is_personal) || !self.names.is_disjoint(never) {
            return None;
        }
        let names = self.names.into_iter();
        let columns =
            names.filter(|name| name != "person_id" && people.field_with_name(name).is_ok());
        Some(columns.collect())
    }

    fn add(&mut self, name: &Ident) {
        self.names.insert(match name.quote_style {
            Some(_) => name.value.clone(),
            None => name.value.to_lowercase(),
        });
    }
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.any_query = true;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(name) => self.add(name),
            Expr::CompoundIdentifier(names) => names.iter().for_each(|name| self.add(name)),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
