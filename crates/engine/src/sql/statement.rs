//! From text to one parsed `select`, or to one parsed condition; everything else is refused.

use std::ops::ControlFlow;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SQLOptions;
use datafusion::sql::parser::{DFParser, DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::ast::{SetExpr, Statement as SqlStatement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use rollbook_queries::traits::MATCHING_PEOPLE;

use crate::error::EngineError;
use crate::rewriting::walk::walk;
use crate::sql::dialect::SqlDialect;
use crate::sql::limits::{MOST_NESTING, check_relations, position};
use crate::sql::literals::{with_doubles, with_signs_apart};
use crate::sql::namesakes;

/// What a plan may hold.
pub(crate) fn read_only() -> SQLOptions {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
}

/// Why a text was not parsed.
pub(crate) enum ParseError {
    /// It is refused by a rule of ours.
    Refused(EngineError),
    /// The parser does not understand it.
    Parser(DataFusionError),
}

impl From<DataFusionError> for ParseError {
    fn from(error: DataFusionError) -> Self {
        Self::Parser(error)
    }
}

/// One query.
///
/// # Errors
/// The parser does not understand the tokens; they are not one query, do more than read, or read too
/// many tables.
pub(crate) fn query(tokens: &[TokenWithSpan]) -> Result<Statement, ParseError> {
    if let Some(first) = significant_tokens(tokens).next()
        && let Token::Word(word) = &first.token
        && !matches!(
            word.keyword,
            Keyword::SELECT
                | Keyword::WITH
                | Keyword::VALUES
                | Keyword::FROM
                | Keyword::TABLE
                | Keyword::NoKeyword
        )
    {
        let statement = word.value.to_lowercase();
        return Err(ParseError::Refused(EngineError::NotReadOnly { statement }));
    }
    let mut statements = parser(tokens)?.parse_statements()?;
    if statements.len() > 1 {
        let mut after =
            significant_tokens(tokens).skip_while(|token| token.token != Token::SemiColon);
        let second = after.find(|token| token.token != Token::SemiColon);
        let position = second.and_then(|token| position(token.span.start));
        return Err(ParseError::Refused(EngineError::MoreThanOneStatement {
            position,
        }));
    }
    match statements.pop_front() {
        None => Err(ParseError::Refused(EngineError::Empty)),
        Some(Statement::Statement(mut statement)) if is_query(&statement) => {
            with_signs_apart(statement.as_mut());
            check_relations(statement.as_ref()).map_err(ParseError::Refused)?;
            Ok(Statement::Statement(statement))
        }
        Some(other) => {
            let text = other.to_string();
            let statement = text
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_lowercase();
            Err(ParseError::Refused(EngineError::NotReadOnly { statement }))
        }
    }
}

/// One condition. Its spans are places in the text.
///
/// # Errors
/// The parser does not understand the tokens; something follows the condition, or its queries read
/// too many tables.
pub(crate) fn condition(tokens: &[TokenWithSpan]) -> Result<ast::Expr, ParseError> {
    let mut condition = parser(tokens)?.parse_into_expr()?;
    if let Some(alias) = condition.alias {
        return Err(ParseError::Refused(EngineError::Syntax {
            message: format!("expected the end of the criteria, found `{}`", alias.value),
            position: position(alias.span.start),
        }));
    }
    with_signs_apart(&mut condition.expr);
    check_relations(&condition.expr).map_err(ParseError::Refused)?;
    Ok(condition.expr)
}

/// The plan of a parsed text. What would have the name of another column of its `select` gets one.
///
/// # Errors
/// Names that are unknown, and types that do not fit.
pub(crate) async fn to_plan(state: &SessionState, mut statement: Statement) -> Result<LogicalPlan> {
    if let Statement::Statement(statement) = &mut statement {
        with_doubles(statement.as_mut());
    }
    let plan = state.statement_to_plan(statement.clone()).await;
    let is_of_namesakes = plan.as_ref().is_err_and(namesakes::is_refusal);
    match &mut statement {
        Statement::Statement(named) if is_of_namesakes => {
            namesakes::name_apart(named.as_mut());
            state.statement_to_plan(statement).await
        }
        _ => plan,
    }
}

/// A query over `people`, which `from` gives with what is joined to it. With `as_columns` it gives every person, and
/// whether it meets each of the conditions as `_m0`, `_m1` …; else the persons who meet the first.
pub(crate) fn over_people(
    conditions: Vec<ast::Expr>,
    from: &str,
    as_columns: bool,
) -> Result<Statement> {
    let columns = match as_columns {
        false => String::new(),
        true => (0..conditions.len())
            .map(|at| format!(", true as _m{at}"))
            .collect(),
    };
    let selected = MATCHING_PEOPLE.replacen(
        "people.person_id\n",
        &format!("people.person_id{columns}\n"),
        1,
    );
    let sql = selected.replacen("from people", &format!("from {from}"), 1);
    let mut template = template(&sql)?;
    let select = select(&mut template).expect("the text is a plain select");
    if as_columns {
        for (item, condition) in select.projection.iter_mut().skip(1).zip(conditions) {
            if let ast::SelectItem::ExprWithAlias { expr, .. } = item {
                *expr = condition;
            }
        }
    } else {
        select.selection = conditions.into_iter().next();
    }
    Ok(template)
}

/// The rows of a view that meet a condition.
pub(crate) fn rows_where(relation: &str, condition: ast::Expr) -> Result<Statement> {
    let sql = format!("select 1 from {relation} where true");
    let mut template = template(&sql)?;
    let select = select(&mut template).expect("the text is a plain select");
    select.selection = Some(condition);
    Ok(template)
}

/// A text of our own, which holds one statement.
pub(crate) fn template(sql: &str) -> Result<Statement> {
    let parser = DFParserBuilder::new(sql)
        .with_dialect(&SqlDialect)
        .with_recursion_limit(8 * MOST_NESTING);
    let mut statements = parser.build()?.parse_statements()?;
    Ok(statements
        .pop_front()
        .expect("the text holds one statement"))
}

/// The first function over many rows that stands in a condition, outside of queries within it.
pub(crate) fn over_rows(
    condition: &ast::Expr,
    is_aggregate: impl Fn(&str) -> bool,
) -> Option<String> {
    struct OverRows<F>(usize, F);
    impl<F: Fn(&str) -> bool> ast::Visitor for OverRows<F> {
        type Break = String;

        fn pre_visit_query(&mut self, _query: &ast::Query) -> ControlFlow<String> {
            self.0 += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _query: &ast::Query) -> ControlFlow<String> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<String> {
            match expr {
                ast::Expr::Function(call) if self.0 == 0 => {
                    let name = call.name.to_string();
                    match call.over.is_some() || (self.1)(&name) {
                        true => ControlFlow::Break(name),
                        false => ControlFlow::Continue(()),
                    }
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    walk(condition, &mut OverRows(0, is_aggregate)).break_value()
}

/// Whether a text is a whole `select` rather than a condition on `people`, by its first word. A
/// query in brackets that something else follows, such as `> 1`, is a part of a condition.
///
/// A text that cannot even be split into words is taken for a condition; running it tells why.
pub fn is_select(sql: &str) -> bool {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location();
    let tokens = tokens.unwrap_or_default();
    let mut tokens = significant_tokens(&tokens).map(|token| &token.token);
    let mut is_in_brackets = false;
    let first = tokens.find(|token| {
        let is_bracket = **token == Token::LParen;
        is_in_brackets |= is_bracket;
        !is_bracket
    });
    let is_query = matches!(
        first,
        Some(Token::Word(word)) if matches!(word.keyword, Keyword::SELECT | Keyword::WITH)
    );
    if !is_query || !is_in_brackets {
        return is_query;
    }
    // What follows the bracket of the query itself, and those around that alone.
    let mut inner = 1_usize;
    let closes = |token: &&Token| {
        match token {
            Token::LParen => inner += 1,
            Token::RParen => inner -= 1,
            _ => {}
        }
        inner == 0
    };
    if tokens.find(closes).is_none() {
        return true;
    }
    match tokens.find(|token| **token != Token::RParen) {
        None | Some(Token::SemiColon) => true,
        Some(Token::Word(word)) => matches!(
            word.keyword,
            Keyword::UNION
                | Keyword::INTERSECT
                | Keyword::EXCEPT
                | Keyword::ORDER
                | Keyword::LIMIT
                | Keyword::OFFSET
                | Keyword::FETCH
        ),
        Some(_) => false,
    }
}

/// The tokens that are neither blanks nor comments.
pub(crate) fn significant_tokens(tokens: &[TokenWithSpan]) -> impl Iterator<Item = &TokenWithSpan> {
    tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
}

fn parser(tokens: &[TokenWithSpan]) -> Result<DFParser<'static>> {
    // The parser spends several levels on one parenthesis.
    DFParserBuilder::new(tokens.to_vec())
        .with_dialect(&SqlDialect)
        .with_recursion_limit(8 * MOST_NESTING)
        .build()
}

fn is_query(statement: &SqlStatement) -> bool {
    let SqlStatement::Query(query) = statement else {
        return false;
    };
    !matches!(
        *query.body,
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
    )
}

fn select(statement: &mut Statement) -> Option<&mut ast::Select> {
    let Statement::Statement(statement) = statement else {
        return None;
    };
    let SqlStatement::Query(query) = statement.as_mut() else {
        return None;
    };
    match query.body.as_mut() {
        SetExpr::Select(select) => Some(select),
        _ => None,
    }
}
