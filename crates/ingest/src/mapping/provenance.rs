//! Carrying `_file` and `_line` through a mapping, so that every row can be traced to its source.

use datafusion::sql::sqlparser::ast::{
    Cte, Expr, GroupByExpr, Ident, JoinOperator, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor,
};

/// Properties of a mapping's statement for tracing its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Provenance {
    /// Whether the statement can remove rows, by a filter, an inner join or similar.
    pub(crate) may_drop: bool,
}

/// Adds `_file` and `_line` of the driving source to the projection if they are missing.
///
/// This is done for a plain select whose first relation is the driving source; other statements must carry
/// the two columns themselves.
pub(crate) fn carry(query: &mut Query, driving: &str) -> Provenance {
    let limited = query.limit_clause.is_some() || query.fetch.is_some() || query.with.is_some();
    match query.body.as_mut() {
        SetExpr::Select(select) => {
            let alias = alias_of(select, driving);
            if let Some(alias) = &alias {
                for column in ["_file", "_line"] {
                    add(select, column, alias);
                }
            }
            Provenance {
                may_drop: limited || alias.is_none() || drops(select),
            }
        }
        _ => Provenance { may_drop: true },
    }
}

/// Adds one more column of the driving source to the output, passing it and `_file` through subqueries that
/// keep rows one to one. If a subquery does not, the column is not added.
pub(crate) fn carry_too(query: &mut Query, driving: &str, column: &str) {
    let mut named: Vec<&mut Cte> = match &mut query.with {
        Some(with) => with.cte_tables.iter_mut().collect(),
        None => Vec::new(),
    };
    carry_up(&mut query.body, &mut named, driving, column);
}

/// Adds the column to a query; returns whether its rows have it.
fn carry_up(body: &mut SetExpr, named: &mut [&mut Cte], driving: &str, column: &str) -> bool {
    let SetExpr::Select(select) = body else {
        return false;
    };
    let by_rows = matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let alias = match alias_of(select, driving) {
        Some(alias) => Some(alias),
        None => match select.from.first_mut().map(|from| &mut from.relation) {
            Some(TableFactor::Derived {
                subquery, alias, ..
            }) => {
                let carried = carry_up(&mut subquery.body, named, driving, column);
                let alias = alias.as_ref().map(|alias| alias.name.clone());
                alias.filter(|_| carried)
            }
            Some(TableFactor::Table { name, alias, .. }) => {
                let table = name.0.last().and_then(|part| part.as_ident()).cloned();
                let place = table.as_ref().and_then(|table| {
                    let name = &table.value;
                    let mut tables = named.iter().map(|cte| &cte.alias.name.value);
                    tables.position(|known| known.eq_ignore_ascii_case(name))
                });
                let carried = place.is_some_and(|place| {
                    // A common table sees those before it.
                    let (before, from) = named.split_at_mut(place);
                    carry_up(&mut from[0].query.body, before, driving, column)
                });
                let alias = alias.as_ref().map(|alias| alias.name.clone()).or(table);
                alias.filter(|_| carried)
            }
            _ => None,
        },
    };
    match alias {
        Some(alias) if by_rows && yields(select, "_file", &alias.value) => {
            add(select, column, &alias);
            true
        }
        _ => false,
    }
}

fn add(select: &mut Select, column: &str, of: &Ident) {
    if !yields(select, column, &of.value) {
        let path = vec![of.clone(), Ident::new(column)];
        let item = SelectItem::UnnamedExpr(Expr::CompoundIdentifier(path));
        select.projection.push(item);
    }
}

/// The alias of a select's first relation, if that is the driving source.
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
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(of), _) => {
            of.to_string().eq_ignore_ascii_case(driving)
        }
        _ => false,
    })
}

fn drops(select: &Select) -> bool {
    let joins = select.from.iter().flat_map(|from| &from.joins);
    let inner = joins
        .map(|join| &join.join_operator)
        .any(|operator| !matches!(operator, JoinOperator::Left(_) | JoinOperator::LeftOuter(_)));
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
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

    use super::{carry, carry_too};

    fn check(sql: &str, expected: &str, may_drop: bool) {
        let mut statements = Parser::parse_sql(&GenericDialect {}, sql).unwrap();
        let Statement::Query(query) = &mut statements[0] else {
            panic!("a query")
        };
        assert_eq!(carry(query, "orders").may_drop, may_drop, "{sql}");
        assert_eq!(query.to_string(), expected);
    }

    #[test]
    fn file_and_line_columns_are_added_if_missing() {
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

    #[test]
    fn extra_column_passes_through_subqueries() {
        let check = |sql: &str, expected: &str| {
            let mut statements = Parser::parse_sql(&GenericDialect {}, sql).unwrap();
            let Statement::Query(query) = &mut statements[0] else {
                panic!("a query")
            };
            carry_too(query, "orders", "_k");
            assert_eq!(query.to_string(), expected);
        };
        check(
            "SELECT r.a, r._file FROM (SELECT o.*, 1 AS b FROM orders AS o) AS r",
            "SELECT r.a, r._file, r._k FROM (SELECT o.*, 1 AS b FROM orders AS o) AS r",
        );
        check(
            "WITH x AS (SELECT a, _file FROM orders) SELECT a, x._file FROM x",
            "WITH x AS (SELECT a, _file, orders._k FROM orders) SELECT a, x._file, x._k FROM x",
        );
        for stays in [
            "SELECT a, r._file FROM (SELECT a, _file FROM orders GROUP BY a, _file) AS r",
            "SELECT a FROM (SELECT max(a) AS a FROM orders) AS r",
            "SELECT a, _file FROM orders UNION ALL SELECT a, _file FROM orders",
        ] {
            check(stays, stays);
        }
    }
}
