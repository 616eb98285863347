//! The parser's generic dialect, with operators that bind as SQL says.
//!
//! The parser takes everything that follows `is distinct from` for its right side, up to the end of
//! the text, and binds a few operators otherwise than PostgreSQL and DuckDB. Everything else is the
//! generic dialect's.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// Operators that are neither arithmetic nor comparisons, such as `||` and `~`: between the two.
const OTHER_OPERATORS: u8 = 25;
/// `=`, `<` and the like, which bind less than `between`, `in` and `like`.
const COMPARISONS: u8 = 19;
/// `between`, `in` and `like`.
const RANGES_AND_PATTERNS: u8 = 20;

/// The dialect of every text.
#[derive(Debug)]
pub(crate) struct SqlDialect;

/// The words of `is distinct from` and `is not distinct from`.
const DISTINCT: [&[Keyword]; 2] = [
    &[Keyword::IS, Keyword::DISTINCT, Keyword::FROM],
    &[Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM],
];

/// What the generic dialect allows.
macro_rules! as_generic {
    ($($name:ident),* $(,)?) => {
        $(fn $name(&self) -> bool {
            GenericDialect.$name()
        })*
    };
}

impl Dialect for SqlDialect {
    /// The parser asks for the generic dialect by its type.
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn parse_infix(
        &self,
        parser: &mut Parser,
        expr: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        let words = DISTINCT.iter().find(|words| parser.parse_keywords(words))?;
        let left = Box::new(expr.clone());
        let right = parser.parse_subexpr(precedence).map(Box::new);
        Some(right.map(|right| match words.len() {
            3 => Expr::IsDistinctFrom(left, right),
            _ => Expr::IsNotDistinctFrom(left, right),
        }))
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        match parser.peek_token_ref().token {
            Token::StringConcat
            | Token::Tilde
            | Token::TildeAsterisk
            | Token::ExclamationMarkTilde
            | Token::ExclamationMarkTildeAsterisk => Some(Ok(OTHER_OPERATORS)),
            _ => None,
        }
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        match precedence {
            Precedence::Eq => COMPARISONS,
            Precedence::Between | Precedence::Like => RANGES_AND_PATTERNS,
            other => GenericDialect.prec_value(other),
        }
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        GenericDialect.is_identifier_part(ch)
    }

    as_generic!(
        supports_unicode_string_literal,
        supports_partition_by_after_order_by,
        supports_array_join_syntax,
        supports_group_by_expr,
        supports_group_by_with_modifier,
        supports_left_associative_joins_without_parens,
        supports_connect_by,
        supports_match_recognize,
        supports_pipe_operator,
        supports_start_transaction_modifier,
        supports_window_function_null_treatment_arg,
        supports_dictionary_syntax,
        supports_window_clause_named_window_reference,
        supports_parenthesized_set_variables,
        supports_select_wildcard_except,
        support_map_literal_syntax,
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_extract_comma_syntax,
        supports_create_view_comment_syntax,
        supports_parens_around_table_factor,
        supports_values_as_table_factor,
        supports_create_index_with_clause,
        supports_explain_with_utility_options,
        supports_limit_comma,
        supports_update_order_by,
        supports_from_first_select,
        supports_projection_trailing_commas,
        supports_asc_desc_in_column_definition,
        supports_try_convert,
        supports_bitwise_shift_operators,
        supports_comment_on,
        supports_load_extension,
        supports_named_fn_args_with_assignment_operator,
        supports_struct_literal,
        supports_empty_projections,
        supports_nested_comments,
        supports_multiline_comment_hints,
        supports_user_host_grantee,
        supports_string_escape_constant,
        supports_array_typedef_with_brackets,
        supports_match_against,
        supports_set_names,
        supports_comma_separated_set_assignments,
        supports_filter_during_aggregation,
        supports_select_wildcard_exclude,
        supports_data_type_signed_suffix,
        supports_interval_options,
        supports_quote_delimited_string,
        supports_select_wildcard_replace,
        supports_select_wildcard_ilike,
        supports_select_wildcard_rename,
        supports_optimize_table,
        supports_install,
        supports_detach,
        supports_prewhere,
        supports_with_fill,
        supports_limit_by,
        supports_interpolate,
        supports_settings,
        supports_select_format,
        supports_comment_optimizer_hint,
        supports_constraint_keyword_without_name,
        supports_key_column_option,
        supports_comma_separated_trim,
        supports_cte_without_as,
        supports_select_item_multi_column_alias,
        supports_xml_expressions,
    );
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use datafusion::sql::sqlparser::ast::{Expr, VisitMut, VisitorMut};

    use crate::sql::limits::tokens;
    use crate::sql::statement::condition;

    /// Puts brackets around whatever is made of parts.
    struct Brackets;

    impl VisitorMut for Brackets {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            let inner = match &*expr {
                Expr::Nested(inner) => inner.as_ref().clone(),
                other => other.clone(),
            };
            let is_one = matches!(
                inner,
                Expr::Identifier(_)
                    | Expr::CompoundIdentifier(_)
                    | Expr::Value(_)
                    | Expr::Function(_)
                    | Expr::Nested(_)
            );
            *expr = match is_one {
                true => inner,
                false => Expr::Nested(Box::new(inner)),
            };
            ControlFlow::Continue(())
        }
    }

    fn parsed(text: &str) -> Expr {
        let parsed = condition(&tokens(text, 10_000).unwrap());
        parsed.unwrap_or_else(|_| panic!("{text} is not parsed"))
    }

    fn bracketed(text: &str) -> String {
        let mut expr = parsed(text);
        let _ = expr.visit(&mut Brackets);
        expr.to_string().to_lowercase()
    }

    #[test]
    fn operators_bind_as_in_sql() {
        for (text, expected) in [
            (
                "a and b is distinct from c or d",
                "((a and (b is distinct from c)) or d)",
            ),
            (
                "a is not distinct from b and c is distinct from d",
                "((a is not distinct from b) and (c is distinct from d))",
            ),
            (
                "not a is distinct from b and c",
                "((not (a is distinct from b)) and c)",
            ),
            (
                "a is distinct from b + 1 and c between 1 and 2 or d",
                "(((a is distinct from (b + 1)) and (c between 1 and 2)) or d)",
            ),
            (
                "a is distinct from (b or c) and d",
                "((a is distinct from (b or c)) and d)",
            ),
            (
                "case when a is distinct from b then c end is null",
                "((case when (a is distinct from b) then c end) is null)",
            ),
            ("a = b like c", "(a = (b like c))"),
            ("a = b in (c, d)", "(a = (b in (c, d)))"),
            ("a = b between c and d", "(a = (b between c and d))"),
            ("a || b + 1 like c", "((a || (b + 1)) like c)"),
            ("a = b is null", "((a = b) is null)"),
            ("a = b ~ c", "(a = (b ~ c))"),
            ("a + b is null and c", "(((a + b) is null) and c)"),
            ("a or b and not c = d", "(a or (b and (not (c = d))))"),
            (
                "a is true or b is not false",
                "((a is true) or (b is not false))",
            ),
            ("-a::text || b", "((-(a::text)) || b)"),
            ("a - - b * c", "(a - ((-b) * c))"),
            (
                "a not like b escape '!' and c",
                "((a not like b escape '!') and c)",
            ),
            ("a + b at time zone c > d", "((a + (b at time zone c)) > d)"),
        ] {
            assert_eq!(bracketed(text), expected, "{text}");
        }
    }

    #[test]
    fn printed_sql_means_the_same() {
        for text in [
            "- -1 < a",
            "-(-1) < a",
            "a - -1 > - - - b",
            "- + -a = + +1",
            "a and b is distinct from c or d",
            "a = 'it''s' and b <> e'x\\n'",
            "\"Now\"() > \"a b\".\"c\"\"d\"",
            "a between -1 and - -1 and b",
            "a not in (- -1, 2) or a in (select b from c where - -d = 1)",
            "x like 'a!%' escape '!'",
            "cast(- -a as bigint) = a::bigint",
            "extract(year from a) = 2025 and a > timestamp '2025-01-01' - interval '3 days'",
            "case a when - -1 then b else - -c end is not null",
            "not not a and not (b or c)",
            "substring(a from 1 for 2) || trim(both 'x' from b) = position('a' in c)::text",
            "a > 1e5 or a > 1.50 or a > .5",
            "spent(within => interval '1 day', where => 'total > 4.07') >= - -1",
        ] {
            let (once, written) = (bracketed(text), parsed(text).to_string());
            assert_eq!(bracketed(&written), once, "{text} was written as {written}");
        }
    }
}
