//! From text to one parsed `select`, or to one parsed condition; everything else is refused.

use datafusion::error::{DataFusionError, Result};
use datafusion::prelude::SQLOptions;
use datafusion::sql::parser::{DFParser, DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::ast::{SetExpr, Statement as SqlStatement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use rollbook_queries::traits::MATCHING_PEOPLE;

use crate::complexity::{MOST_NESTING, check_relations, position};
use crate::error::EngineError;

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
pub(crate) fn query(tokens: &[TokenWithSpan]) -> Result<Statement, ParseError> {
    if let Some(first) = spoken(tokens).next()
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
        let mut after = spoken(tokens).skip_while(|token| token.token != Token::SemiColon);
        let second = after.find(|token| token.token != Token::SemiColon);
        let position = second.and_then(|token| position(token.span.start));
        return Err(ParseError::Refused(EngineError::MoreThanOneStatement {
            position,
        }));
    }
    match statements.pop_front() {
        None => Err(ParseError::Refused(EngineError::Empty)),
        Some(Statement::Statement(statement)) if is_query(&statement) => {
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

/// A query for the persons who meet one condition. The condition keeps its places in the text.
pub(crate) fn matching_people(tokens: &[TokenWithSpan]) -> Result<Statement, ParseError> {
    let condition = parser(tokens)?.parse_into_expr()?;
    if let Some(alias) = condition.alias {
        return Err(ParseError::Refused(EngineError::Syntax {
            message: format!("expected the end of the criteria, found `{}`", alias.value),
            position: position(alias.span.start),
        }));
    }
    check_relations(&condition.expr).map_err(ParseError::Refused)?;
    let mut statements = DFParserBuilder::new(MATCHING_PEOPLE)
        .build()?
        .parse_statements()?;
    let mut template = statements
        .pop_front()
        .expect("the text holds one statement");
    *selection(&mut template).expect("the text is a plain select with a condition") =
        condition.expr;
    Ok(template)
}

/// Whether a text is a whole `select` rather than a condition on `people`, by its first word.
///
/// A text that cannot even be split into words is taken for a condition; running it tells why.
pub fn is_select(sql: &str) -> bool {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location();
    let tokens = tokens.unwrap_or_default();
    let first = spoken(&tokens).find(|token| token.token != Token::LParen);
    matches!(
        first.map(|token| &token.token),
        Some(Token::Word(word)) if matches!(word.keyword, Keyword::SELECT | Keyword::WITH)
    )
}

/// The tokens that are neither blanks nor comments.
pub(crate) fn spoken(tokens: &[TokenWithSpan]) -> impl Iterator<Item = &TokenWithSpan> {
    tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
}

fn parser(tokens: &[TokenWithSpan]) -> Result<DFParser<'static>> {
    // The parser spends several levels on one parenthesis.
    DFParserBuilder::new(tokens.to_vec())
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

fn selection(statement: &mut Statement) -> Option<&mut ast::Expr> {
    let Statement::Statement(statement) = statement else {
        return None;
    };
    let SqlStatement::Query(query) = statement.as_mut() else {
        return None;
    };
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    select.selection.as_mut()
}
