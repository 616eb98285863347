//! Carrying `_file` and `_line` through a mapping, so that every row can be traced to its source.

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinOperator, Query, Select, SelectItem, SetExpr, TableFactor,
};

/// What a mapping's statement does with the rows of its driving source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Provenance {
    /// Whether a row can get lost on the way, by a filter, an inner join or the like.
    pub(crate) may_drop: bool,
}

/// Adds `_file` and `_line` of the driving source to the projection where they are not there.
///
/// That is done for a plain select whose first relation is the driving source; others have to
/// carry the two columns themselves.
pub(crate) fn carry(query: &mut Query, driving: &str) -> Provenance {
    let limited = query.limit_clause.is_some() || query.fetch.is_some() || query.with.is_some();
    match query.body.as_mut() {
        SetExpr::Select(select) => {
            let alias = alias_of(select, driving);
            if let Some(alias) = &alias {
                for column in ["_file", "_line"] {
                    if !yields(select, column, &alias.value) {
                        let path = vec![alias.clone(), Ident::new(column)];
                        let item = SelectItem::UnnamedExpr(Expr::CompoundIdentifier(path));
                        select.projection.push(item);
                    }
                }
            }
            Provenance {
                may_drop: limited || alias.is_none() || drops(select),
            }
        }
        _ => Provenance { may_drop: true },
    }
}

/// The name under which a select's first relation, if it is the driving source, is known.
fn alias_of(select: &Select, driving: &str) -> Option<Ident> {
    match &select.from.first()?.relation {
        TableFactor::Table { name, alias, .. } => {
            let table = name.0.last()?.as_ident()?;
            (table.value.eq_ignore_ascii_case(driving)).then(|| {
                alias
                    .as_ref()
                    .map_or_else(|| table.clone(), |alias| alias.name.clone())
            })
        }
        _ => None,
    }
}

fn yields(select: &Select, column: &str, driving: &str) -> bool {
    let named = |ident: &Ident| ident.value.eq_ignore_ascii_case(column);
    select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => named(ident),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(path)) => path.last().is_some_and(named),
        SelectItem::ExprWithAlias { alias, .. } => named(alias),
        SelectItem::Wildcard(_) => true,
        SelectItem::QualifiedWildcard(of, _) => of.to_string().eq_ignore_ascii_case(driving),
        _ => false,
    })
}

fn drops(select: &Select) -> bool {
    let joins = select.from.iter().flat_map(|from| &from.joins);
    let inner = joins
        .map(|join| &join.join_operator)
        .any(|operator| !matches!(operator, JoinOperator::Left(_) | JoinOperator::LeftOuter(_)));
    let grouped = !matches!(&select.group_by, datafusion::sql::sqlparser::ast::GroupByExpr::Expressions(by, _) if by.is_empty());
    inner
        || grouped
        || select.from.len() > 1
        || select.selection.is_some()
        || select.having.is_some()
        || select.qualify.is_some()
        || select.distinct.is_some()
        || select.top.is_some()
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::carry;

    fn check(sql: &str, expected: &str, may_drop: bool) {
        let mut statements = Parser::parse_sql(&GenericDialect {}, sql).unwrap();
        let Statement::Query(query) = &mut statements[0] else {
            panic!("a query")
        };
        assert_eq!(carry(query, "orders").may_drop, may_drop, "{sql}");
        assert_eq!(query.to_string(), expected);
    }

    #[test]
    fn the_two_columns_are_added_where_they_are_missing() {
        check(
            "SELECT a FROM orders",
            "SELECT a, orders._file, orders._line FROM orders",
            false,
        );
        check("SELECT * FROM orders", "SELECT * FROM orders", false);
        check(
            "SELECT o.a FROM orders AS o LEFT JOIN c ON o.c = c.c",
            "SELECT o.a, o._file, o._line FROM orders AS o LEFT JOIN c ON o.c = c.c",
            false,
        );
        check(
            "SELECT a FROM orders JOIN c ON true WHERE a > 1",
            "SELECT a, orders._file, orders._line FROM orders JOIN c ON true WHERE a > 1",
            true,
        );
        let nested = "SELECT a, _file, _line FROM (SELECT * FROM orders) AS x";
        check(nested, nested, true);
    }
}
