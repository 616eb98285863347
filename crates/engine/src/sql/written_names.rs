//! Names of columns that a query gives no name: as they stand in its text, and not as the planner
//! spells them, with tables and types. No two columns of an answer have the same name.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Query, Select, SelectItem, SetExpr, Statement as SqlStatement,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::sql::namesakes::untaken;
use crate::sql::parsing::plain_query;

/// Words that end the list of what is selected.
const ENDS: [Keyword; 14] = [
    Keyword::FROM,
    Keyword::WHERE,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::QUALIFY,
    Keyword::WINDOW,
    Keyword::ORDER,
    Keyword::LIMIT,
    Keyword::OFFSET,
    Keyword::FETCH,
    Keyword::UNION,
    Keyword::INTERSECT,
    Keyword::EXCEPT,
    Keyword::INTO,
];

/// The schema of the answer to `sql`, its unnamed columns called as they are written; `None` where
/// every column keeps its name.
pub(crate) fn named_as_written(schema: &SchemaRef, sql: &str) -> Option<SchemaRef> {
    let before: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    let mut names: Vec<String> = before.iter().map(|name| (*name).clone()).collect();
    for (at, name) in as_written(sql, names.len()).unwrap_or_default() {
        if !names.contains(&name) {
            names[at] = name;
        }
    }
    let mut taken: HashSet<String> = names.iter().cloned().collect();
    let mut met = HashSet::new();
    let names = names.iter().map(|name| match met.insert(name) {
        true => name.clone(),
        false => untaken(name, &mut taken),
    });
    let names: Vec<String> = names.collect();
    if names.iter().eq(before) {
        return None;
    }
    let fields = schema.fields().iter().zip(names);
    let fields = fields.map(|(field, name)| Field::clone(field).with_name(name));
    Some(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// The columns of an answer that have no name, each with what it is written as.
fn as_written(sql: &str, columns: usize) -> Option<Vec<(usize, String)>> {
    let parsed = plain_query(sql)?;
    let Statement::Statement(statement) = parsed.tree.as_ref() else {
        return None;
    };
    let SqlStatement::Query(query) = statement.as_ref() else {
        return None;
    };
    let written = written(first_select(query)?, &parsed.tokens);
    Some(placed(&written, columns))
}

/// What is selected, item by item.
enum Written {
    /// A column or an expression that has a name.
    Named,
    /// An expression without one, as it is written.
    Unnamed(String),
    /// As many columns as there are.
    All,
}

/// The columns of an answer that have no name, each with what it is written as. Behind an asterisk
/// columns are counted from the last.
fn placed(written: &[Written], columns: usize) -> Vec<(usize, String)> {
    let is_all = |item: &Written| matches!(item, Written::All);
    let first = written.iter().position(is_all).unwrap_or(written.len());
    let last = written.iter().rposition(is_all);
    if last.is_none() && written.len() != columns {
        return Vec::new();
    }
    let from_left = written[..first].iter().enumerate();
    let behind = last.map_or(&[][..], |last| &written[last + 1..]);
    let Some(begin) = columns.checked_sub(behind.len()) else {
        return Vec::new();
    };
    let from_right = (begin..).zip(behind);
    let all = from_left.chain(from_right);
    let unnamed = all.filter_map(|(at, item)| match item {
        Written::Unnamed(text) => Some((at, text.clone())),
        Written::Named | Written::All => None,
    });
    unnamed.filter(|(at, _)| *at < columns).collect()
}

fn first_select(query: &Query) -> Option<&Select> {
    let mut body = query.body.as_ref();
    loop {
        body = match body {
            SetExpr::Select(select) => return Some(select),
            SetExpr::SetOperation { left, .. } => left,
            SetExpr::Query(query) => &query.body,
            _ => return None,
        };
    }
}

fn written(select: &Select, tokens: &[TokenWithSpan]) -> Vec<Written> {
    let texts = match select.distinct {
        Some(Distinct::On(_)) => Vec::new(),
        _ => texts(tokens),
    };
    let has_texts = texts.len() == select.projection.len();
    let item = |(at, item): (usize, &SelectItem)| match item {
        SelectItem::UnnamedExpr(Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => {
            Written::Named
        }
        SelectItem::UnnamedExpr(expr) => Written::Unnamed(match has_texts {
            true => texts[at].clone(),
            false => expr.to_string(),
        }),
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => Written::All,
        _ => Written::Named,
    };
    select.projection.iter().enumerate().map(item).collect()
}

/// The texts between the commas of the first `select` that stands in no brackets.
fn texts(tokens: &[TokenWithSpan]) -> Vec<String> {
    let (mut depth, mut texts, mut text) = (0_i32, Vec::new(), None::<String>);
    let mut is_after_distinct = false;
    for token in tokens {
        let keyword = match &token.token {
            Token::Word(word) if depth == 0 => word.keyword,
            _ => Keyword::NoKeyword,
        };
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth -= 1,
            _ => {}
        }
        let Some(so_far) = &mut text else {
            if keyword == Keyword::SELECT {
                text = Some(String::new());
            }
            continue;
        };
        let is_first = so_far.is_empty() && texts.is_empty();
        match &token.token {
            Token::Whitespace(_) => {
                if !so_far.is_empty() && !so_far.ends_with(' ') {
                    so_far.push(' ');
                }
                continue;
            }
            Token::Comma if depth == 0 => texts.push(std::mem::take(so_far)),
            Token::SemiColon | Token::EOF => break,
            Token::Word(_) if is_first && [Keyword::DISTINCT, Keyword::ALL].contains(&keyword) => {}
            // `is distinct from` is a part of an expression.
            Token::Word(_) if ENDS.contains(&keyword) && !is_after_distinct => break,
            other => so_far.push_str(&other.to_string()),
        }
        is_after_distinct = keyword == Keyword::DISTINCT && !is_first;
    }
    texts.extend(text);
    texts
        .into_iter()
        .map(|text| text.trim().to_owned())
        .collect()
}
