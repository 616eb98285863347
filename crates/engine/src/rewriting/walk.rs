//! Visitors of parsed SQL with less code. `sqlparser` compiles its traversal for each visitor type,
//! some hundred functions each; this module compiles it once for all reading visitors and once for
//! all changing ones.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, ValueWithSpan, Visit, VisitMut,
    Visitor, VisitorMut,
};

/// Visits everything inside `of`, until the visitor breaks.
pub(crate) fn walk<V: Visitor>(of: &impl Visit, visitor: &mut V) -> ControlFlow<V::Break> {
    let mut keeper = BreakKeeper {
        visitor,
        break_value: None,
    };
    let _ = of.visit(&mut DynVisitor(&mut keeper));
    keeper.end()
}

/// As [`walk`], for a visitor that changes the SQL.
pub(crate) fn walk_mut<V: VisitorMut>(
    of: &mut impl VisitMut,
    visitor: &mut V,
) -> ControlFlow<V::Break> {
    let mut keeper = BreakKeeper {
        visitor,
        break_value: None,
    };
    let _ = of.visit(&mut DynVisitorMut(&mut keeper));
    keeper.end()
}

/// Stores the value that a visitor breaks with, so that all visitors have the same break type.
struct BreakKeeper<'a, V, B> {
    visitor: &'a mut V,
    break_value: Option<B>,
}

impl<V, B> BreakKeeper<'_, V, B> {
    fn step(&mut self, step: impl FnOnce(&mut V) -> ControlFlow<B>) -> ControlFlow<()> {
        step(self.visitor).map_break(|break_value| self.break_value = Some(break_value))
    }

    fn end(self) -> ControlFlow<B> {
        match self.break_value {
            Some(break_value) => ControlFlow::Break(break_value),
            None => ControlFlow::Continue(()),
        }
    }
}

/// Any reading visitor.
struct DynVisitor<'a>(&'a mut dyn Visitor<Break = ()>);

/// Any changing visitor.
struct DynVisitorMut<'a>(&'a mut dyn VisitorMut<Break = ()>);

impl<V: Visitor> Visitor for BreakKeeper<'_, V, V::Break> {
    type Break = ();

    fn pre_visit_query(&mut self, of: &Query) -> ControlFlow<()> {
        self.step(|visitor| visitor.pre_visit_query(of))
    }

    fn post_visit_query(&mut self, of: &Query) -> ControlFlow<()> {
        self.step(|visitor| visitor.post_visit_query(of))
    }

    fn pre_visit_select(&mut self, of: &Select) -> ControlFlow<()> {
        self.step(|visitor| visitor.pre_visit_select(of))
    }

    fn post_visit_select(&mut self, of: &Select) -> ControlFlow<()> {
        self.step(|visitor| visitor.post_visit_select(of))
    }

    fn pre_visit_relation(&mut self, of: &ObjectName) -> ControlFlow<()> {
        self.step(|visitor| visitor.pre_visit_relation(of))
    }

    fn post_visit_relation(&mut self, of: &ObjectName) -> ControlFlow<()> {
        self.step(|visitor| visitor.post_visit_relation(of))
    }

    fn pre_visit_table_factor(&mut self, of: &TableFactor) -> ControlFlow<()> {
        self.step(|visitor| visitor.pre_visit_table_factor(of))
    }

    fn post_visit_table_factor(&mut self, of: &TableFactor) -> ControlFlow<()> {
        self.step(|visitor| visitor.post_visit_table_factor(of))
    }

    fn pre_visit_expr(&mut self, of: &Expr) -> ControlFlow<()> {
        self.step(|visitor| visitor.pre_visit_expr(of))
    }

    fn post_visit_expr(&mut self, of: &Expr) -> ControlFlow<()> {
        self.step(|visitor| visitor.post_visit_expr(of))
    }

    fn pre_visit_statement(&mut self, of: &Statement) -> ControlFlow<()> {
        self.step(|visitor| visitor.pre_visit_statement(of))
    }

    fn post_visit_statement(&mut self, of: &Statement) -> ControlFlow<()> {
        self.step(|visitor| visitor.post_visit_statement(of))
    }

    fn pre_visit_value(&mut self, of: &ValueWithSpan) -> ControlFlow<()> {
        self.step(|visitor| visitor.pre_visit_value(of))
    }

    fn post_visit_value(&mut self, of: &ValueWithSpan) -> ControlFlow<()> {
        self.step(|visitor| visitor.post_visit_value(of))
    }
}

impl Visitor for DynVisitor<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, of: &Query) -> ControlFlow<()> {
        self.0.pre_visit_query(of)
    }

    fn post_visit_query(&mut self, of: &Query) -> ControlFlow<()> {
        self.0.post_visit_query(of)
    }

    fn pre_visit_select(&mut self, of: &Select) -> ControlFlow<()> {
        self.0.pre_visit_select(of)
    }

    fn post_visit_select(&mut self, of: &Select) -> ControlFlow<()> {
        self.0.post_visit_select(of)
    }

    fn pre_visit_relation(&mut self, of: &ObjectName) -> ControlFlow<()> {
        self.0.pre_visit_relation(of)
    }

    fn post_visit_relation(&mut self, of: &ObjectName) -> ControlFlow<()> {
        self.0.post_visit_relation(of)
    }

    fn pre_visit_table_factor(&mut self, of: &TableFactor) -> ControlFlow<()> {
        self.0.pre_visit_table_factor(of)
    }

    fn post_visit_table_factor(&mut self, of: &TableFactor) -> ControlFlow<()> {
        self.0.post_visit_table_factor(of)
    }

    fn pre_visit_expr(&mut self, of: &Expr) -> ControlFlow<()> {
        self.0.pre_visit_expr(of)
    }

    fn post_visit_expr(&mut self, of: &Expr) -> ControlFlow<()> {
        self.0.post_visit_expr(of)
    }

    fn pre_visit_statement(&mut self, of: &Statement) -> ControlFlow<()> {
        self.0.pre_visit_statement(of)
    }

    fn post_visit_statement(&mut self, of: &Statement) -> ControlFlow<()> {
        self.0.post_visit_statement(of)
    }

    fn pre_visit_value(&mut self, of: &ValueWithSpan) -> ControlFlow<()> {
        self.0.pre_visit_value(of)
    }

    fn post_visit_value(&mut self, of: &ValueWithSpan) -> ControlFlow<()> {
        self.0.post_visit_value(of)
    }
}

impl<V: VisitorMut> VisitorMut for BreakKeeper<'_, V, V::Break> {
    type Break = ();

    fn pre_visit_query(&mut self, of: &mut Query) -> ControlFlow<()> {
        self.step(|visitor| visitor.pre_visit_query(of))
    }

    fn post_visit_query(&mut self, of: &mut Query) -> ControlFlow<()> {
        self.step(|visitor| visitor.post_visit_query(of))
    }

    fn pre_visit_select(&mut self, of: &mut Select) -> ControlFlow<()> {
        self.step(|visitor| visitor.pre_visit_select(of))
    }

    fn post_visit_select(&mut self, of: &mut Select) -> ControlFlow<()> {
        self.step(|visitor| visitor.post_visit_select(of))
    }

    fn pre_visit_relation(&mut self, of: &mut ObjectName) -> ControlFlow<()> {
        self.step(|visitor| visitor.pre_visit_relation(of))
    }

    fn post_visit_relation(&mut self, of: &mut ObjectName) -> ControlFlow<()> {
        self.step(|visitor| visitor.post_visit_relation(of))
    }

    fn pre_visit_table_factor(&mut self, of: &mut TableFactor) -> ControlFlow<()> {
        self.step(|visitor| visitor.pre_visit_table_factor(of))
    }

    fn post_visit_table_factor(&mut self, of: &mut TableFactor) -> ControlFlow<()> {
        self.step(|visitor| visitor.post_visit_table_factor(of))
    }

    fn pre_visit_expr(&mut self, of: &mut Expr) -> ControlFlow<()> {
        self.step(|visitor| visitor.pre_visit_expr(of))
    }

    fn post_visit_expr(&mut self, of: &mut Expr) -> ControlFlow<()> {
        self.step(|visitor| visitor.post_visit_expr(of))
    }

    fn pre_visit_statement(&mut self, of: &mut Statement) -> ControlFlow<()> {
        self.step(|visitor| visitor.pre_visit_statement(of))
    }

    fn post_visit_statement(&mut self, of: &mut Statement) -> ControlFlow<()> {
        self.step(|visitor| visitor.post_visit_statement(of))
    }

    fn pre_visit_value(&mut self, of: &mut ValueWithSpan) -> ControlFlow<()> {
        self.step(|visitor| visitor.pre_visit_value(of))
    }

    fn post_visit_value(&mut self, of: &mut ValueWithSpan) -> ControlFlow<()> {
        self.step(|visitor| visitor.post_visit_value(of))
    }
}

impl VisitorMut for DynVisitorMut<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, of: &mut Query) -> ControlFlow<()> {
        self.0.pre_visit_query(of)
    }

    fn post_visit_query(&mut self, of: &mut Query) -> ControlFlow<()> {
        self.0.post_visit_query(of)
    }

    fn pre_visit_select(&mut self, of: &mut Select) -> ControlFlow<()> {
        self.0.pre_visit_select(of)
    }

    fn post_visit_select(&mut self, of: &mut Select) -> ControlFlow<()> {
        self.0.post_visit_select(of)
    }

    fn pre_visit_relation(&mut self, of: &mut ObjectName) -> ControlFlow<()> {
        self.0.pre_visit_relation(of)
    }

    fn post_visit_relation(&mut self, of: &mut ObjectName) -> ControlFlow<()> {
        self.0.post_visit_relation(of)
    }

    fn pre_visit_table_factor(&mut self, of: &mut TableFactor) -> ControlFlow<()> {
        self.0.pre_visit_table_factor(of)
    }

    fn post_visit_table_factor(&mut self, of: &mut TableFactor) -> ControlFlow<()> {
        self.0.post_visit_table_factor(of)
    }

    fn pre_visit_expr(&mut self, of: &mut Expr) -> ControlFlow<()> {
        self.0.pre_visit_expr(of)
    }

    fn post_visit_expr(&mut self, of: &mut Expr) -> ControlFlow<()> {
        self.0.post_visit_expr(of)
    }

    fn pre_visit_statement(&mut self, of: &mut Statement) -> ControlFlow<()> {
        self.0.pre_visit_statement(of)
    }

    fn post_visit_statement(&mut self, of: &mut Statement) -> ControlFlow<()> {
        self.0.post_visit_statement(of)
    }

    fn pre_visit_value(&mut self, of: &mut ValueWithSpan) -> ControlFlow<()> {
        self.0.pre_visit_value(of)
    }

    fn post_visit_value(&mut self, of: &mut ValueWithSpan) -> ControlFlow<()> {
        self.0.post_visit_value(of)
    }
}
