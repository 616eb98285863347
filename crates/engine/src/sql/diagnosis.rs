//! From DataFusion's errors to ours: which name, where in the text, what was probably meant.

use std::sync::{Arc, OnceLock};

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Diagnostic, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use rollbook_model::config::Limits;
use rollbook_model::nearest;

use crate::error::{EngineError, Position};
use crate::query_pool::exhausted;
use crate::sql::behaviour_names::BEHAVIOURS;
use crate::sql::limits::{MOST_NESTING, lower_first, position};
use crate::sql::type_names::plain_types;
use crate::wrapped_errors::{DuplicateTraitRow, InvalidTrait, PermissionDenied};

/// How the planner's messages about types can be told from its others.
const ABOUT_TYPES: [&str; 6] = [
    "coerce",
    "coercion",
    "common argument type",
    "given name and argument types",
    "Cannot cast",
    "cannot be cast",
];

/// How the planner's message begins where a subquery could not be made a join.
const NO_JOIN: &str = "Physical plan does not support";

/// Functions of other databases, and what is written here.
const OTHERS: [(&str, &str); 8] = [
    ("age", "now() - created_at > interval '30 days'"),
    ("datediff", "current_date - cast(created_at as date) > 30"),
    ("date_diff", "current_date - cast(created_at as date) > 30"),
    ("timestampdiff", "now() - created_at > interval '30 days'"),
    ("dateadd", "created_at + interval '30 days'"),
    ("date_add", "created_at + interval '30 days'"),
    ("datesub", "created_at - interval '30 days'"),
    ("date_sub", "created_at - interval '30 days'"),
];

/// What is known of a text when something goes wrong with it.
pub(crate) struct Diagnosis<'a> {
    tokens: Arc<[TokenWithSpan]>,
    /// The session that it is planned in; none while it is parsed.
    state: Option<&'a SessionState>,
    limits: Limits,
}

/// The names of all functions, for suggestions. They are the same in every session: the first error
/// about an unknown function fetches them for the process.
fn functions(state: &SessionState) -> &'static [String] {
    static FUNCTIONS: OnceLock<Vec<String>> = OnceLock::new();
    FUNCTIONS.get_or_init(|| {
        let scalars = state.scalar_functions().keys();
        let scalars = scalars.chain(state.window_functions().keys());
        // Those are our own.
        let scalars = scalars.filter(|name| !name.starts_with('_')).cloned();
        let behaviours = BEHAVIOURS.into_iter().map(str::to_owned);
        let aggregates = state.aggregate_functions().keys().cloned();
        scalars.chain(behaviours).chain(aggregates).collect()
    })
}

impl<'a> Diagnosis<'a> {
    /// For a text that is planned in a session.
    pub(crate) fn new(
        state: &'a SessionState,
        tokens: &Arc<[TokenWithSpan]>,
        limits: &Limits,
    ) -> Self {
        Self {
            tokens: Arc::clone(tokens),
            state: Some(state),
            limits: *limits,
        }
    }
}

impl Diagnosis<'_> {
    /// For a text that is parsed.
    pub(crate) fn of_text(tokens: &Arc<[TokenWithSpan]>, limits: &Limits) -> Self {
        Self {
            tokens: Arc::clone(tokens),
            state: None,
            limits: *limits,
        }
    }

    /// Where a name first stands in the text.
    pub(crate) fn position_of(&self, name: &str) -> Option<Position> {
        let found = self.tokens.iter().find(|token| match &token.token {
            Token::Word(word) => word.value.eq_ignore_ascii_case(name),
            Token::SingleQuotedString(text) => text == name,
            _ => false,
        });
        found.and_then(|token| position(token.span.start))
    }

    /// Whether a function of this name is an aggregate.
    pub(crate) fn is_aggregate(&self, name: &str) -> bool {
        let known = self.state.map(SessionState::aggregate_functions);
        known.is_some_and(|known| known.contains_key(&name.to_ascii_lowercase()))
    }

    /// The error for a function over many rows where there is one person at a time.
    pub(crate) fn many_rows(&self, function: Option<&str>) -> EngineError {
        let mut words = self.tokens.iter().filter_map(|token| match &token.token {
            Token::Word(word) => Some(word.value.as_str()),
            _ => None,
        });
        let function = function.or_else(|| words.find(|word| self.is_aggregate(word)));
        EngineError::ManyRows {
            function: function.unwrap_or("an aggregate").to_owned(),
            position: function.and_then(|function| self.position_of(function)),
        }
    }

    /// Our error for DataFusion's.
    pub(crate) fn explain(&self, error: DataFusionError) -> EngineError {
        let diagnostic = error.diagnostic().cloned();
        let place = diagnostic.as_ref().and_then(place);
        if let Some(message) = of_regex(&error.to_string()) {
            return EngineError::Value { message };
        }
        match root(&error) {
            DataFusionError::SQL(error, _) => self.syntax(error, place),
            DataFusionError::SchemaError(error, _) => self.schema(error, place),
            DataFusionError::Plan(message) => self.plan(message, diagnostic.as_ref(), place),
            DataFusionError::NotImplemented(message) => EngineError::Unsupported {
                message: match message.starts_with(NO_JOIN) {
                    true => "a query within the text, of this shape or in this place".to_owned(),
                    false => plain_types(&lower_first(first_line(message))),
                },
            },
            // A spill file that is full fails as a write, which hides that a limit was met.
            DataFusionError::ArrowError(source, _) if is_of_spilling(source) => {
                EngineError::DiskExhausted {
                    limit: self.limits.disk,
                }
            }
            DataFusionError::ResourcesExhausted(message) => exhausted(message, &self.limits),
            DataFusionError::Execution(message) => EngineError::Value {
                message: plain_types(&lower_first(first_line(message))),
            },
            DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
                ArrowError::IoError(..)
                | ArrowError::ParquetError(_)
                | ArrowError::IpcError(_)
                | ArrowError::ExternalError(_) => EngineError::Storage {
                    source: Box::new(error),
                },
                ArrowError::DivideByZero => EngineError::Value {
                    message: "division by zero".to_owned(),
                },
                ArrowError::CastError(message)
                | ArrowError::ParseError(message)
                | ArrowError::ComputeError(message)
                | ArrowError::ArithmeticOverflow(message)
                | ArrowError::InvalidArgumentError(message) => EngineError::Value {
                    message: plain_types(&lower_first(message)),
                },
                _ => EngineError::Internal {
                    source: Box::new(error),
                },
            },
            DataFusionError::External(inner) if let Some(refused) = inner.downcast_ref() => {
                let PermissionDenied { table, column } = refused;
                EngineError::Personal {
                    table: (*table).to_owned(),
                    column: (*column).to_owned(),
                    position: self.position_of(column),
                }
            }
            DataFusionError::External(inner) if let Some(twice) = inner.downcast_ref() => {
                let DuplicateTraitRow { name, person } = twice;
                EngineError::DuplicateTraitRow {
                    name: name.clone(),
                    person: *person,
                }
            }
            DataFusionError::External(inner) if let Some(broken) = inner.downcast_ref() => {
                let InvalidTrait { name, source } = broken;
                EngineError::InTrait {
                    name: name.clone(),
                    source: Arc::clone(source),
                }
            }
            DataFusionError::ObjectStore(_)
            | DataFusionError::ParquetError(_)
            | DataFusionError::IoError(_)
            | DataFusionError::External(_) => EngineError::Storage {
                source: Box::new(error),
            },
            _ => EngineError::Internal {
                source: Box::new(error),
            },
        }
    }

    fn syntax(&self, error: &ParserError, place: Option<Position>) -> EngineError {
        let text = match error {
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
            ParserError::RecursionLimitExceeded => {
                let what = "levels within each other";
                return EngineError::TooComplex {
                    what,
                    limit: MOST_NESTING,
                    position: None,
                };
            }
        };
        // `Expected: an expression, found: EOF at Line: 1, Column: 9`
        let (message, location) = match text.rsplit_once(" at Line: ") {
            Some((message, location)) => (message, location),
            None => (text.as_str(), ""),
        };
        let numbers = location.split_once(", Column: ");
        let location = numbers.and_then(|(line, column)| {
            Some(Position {
                line: line.parse().ok()?,
                column: column.trim().parse().ok()?,
            })
        });
        let at_end = message.ends_with("found: EOF");
        let position = place
            .or(location)
            .or_else(|| if at_end { self.end() } else { None });
        let message = message
            .replace("Expected: ", "expected ")
            .replace("found: EOF", "found the end of the text")
            .replace("found: ", "found ");
        EngineError::Syntax {
            message: lower_first(&message),
            position,
        }
    }

    fn schema(&self, error: &SchemaError, place: Option<Position>) -> EngineError {
        match error {
            SchemaError::FieldNotFound {
                field,
                valid_fields,
            } => {
                let names = valid_fields.iter().map(|field| field.name.as_str());
                let table = field
                    .relation
                    .as_ref()
                    .map(ToString::to_string)
                    .or_else(|| {
                        let mut tables = valid_fields.iter().map(|field| field.relation.as_ref());
                        let first = tables.next()??;
                        tables
                            .all(|table| table == Some(first))
                            .then(|| first.to_string())
                    });
                EngineError::UnknownColumn {
                    position: place.or_else(|| self.position_of(&field.name)),
                    nearest: nearest(&field.name, names).map(str::to_owned),
                    column: field.name.clone(),
                    table,
                }
            }
            SchemaError::AmbiguousReference { field } => EngineError::AmbiguousColumn {
                position: place.or_else(|| self.position_of(&field.name)),
                column: field.name.clone(),
            },
            SchemaError::DuplicateQualifiedField { name, .. }
            | SchemaError::DuplicateUnqualifiedField { name } => EngineError::Invalid {
                message: format!("two columns are called `{name}`: rename one with `as`"),
            },
        }
    }

    fn plan(
        &self,
        message: &str,
        diagnostic: Option<&Diagnostic>,
        place: Option<Position>,
    ) -> EngineError {
        let detail = diagnostic.map(|diagnostic| diagnostic.message.as_str());
        if let Some(table) = detail.and_then(|detail| between(detail, "table '", "' not found")) {
            return self.unknown_table(table, place);
        }
        if let Some(table) = between(message, "table '", "' not found") {
            let table = table.rsplit('.').next().unwrap_or(table);
            return self.unknown_table(table, place);
        }
        if let Some(function) = between(message, "Invalid function '", "'")
            .or_else(|| between(message, "table function '", "' not found"))
        {
            return self.unknown_function(function, place);
        }
        if let Some((_, found)) = message.rsplit_once(" returning ")
            && message.starts_with("Cannot create filter with non-boolean predicate")
        {
            return EngineError::NotBoolean {
                found: plain_types(found),
            };
        }
        if [
            "DDL not supported",
            "DML not supported",
            "Statement not supported",
        ]
        .iter()
        .any(|start| message.starts_with(start))
        {
            let statement = message
                .rsplit(": ")
                .next()
                .unwrap_or(message)
                .to_lowercase();
            return EngineError::NotReadOnly { statement };
        }
        let is_about_types = ABOUT_TYPES.iter().any(|part| message.contains(part));
        let message = plain_types(&lower_first(first_line(message)));
        if is_about_types {
            EngineError::Types { message }
        } else {
            EngineError::Invalid { message }
        }
    }

    fn unknown_function(&self, function: &str, place: Option<Position>) -> EngineError {
        let (function, position) = (
            function.to_owned(),
            place.or_else(|| self.position_of(function)),
        );
        if BEHAVIOURS.contains(&function.as_str()) {
            let message = "it stands in the criteria of a segment, where they are a condition and \
                           not a `select`";
            return EngineError::Behaviour {
                function,
                message: message.to_owned(),
                position,
            };
        }
        if let Some((name, here)) = OTHERS.iter().find(|(name, _)| *name == function) {
            let message = format!("there is no function `{name}`: write {here}");
            return EngineError::Invalid { message };
        }
        let known = self.state.map(functions).unwrap_or_default().iter();
        EngineError::UnknownFunction {
            nearest: nearest(&function, known.map(String::as_str)).map(str::to_owned),
            function,
            position,
        }
    }

    fn unknown_table(&self, table: &str, place: Option<Position>) -> EngineError {
        let tables = self
            .state
            .and_then(|state| state.schema_for_ref("people").ok());
        let known = tables.map(|tables| tables.table_names());
        // Those are our own.
        let known = known.unwrap_or_default().into_iter();
        let known: Vec<String> = known.filter(|name| !name.starts_with('_')).collect();
        let nearest = nearest(table, known.iter().map(String::as_str));
        EngineError::UnknownTable {
            position: place.or_else(|| self.position_of(table)),
            nearest: nearest.map(str::to_owned),
            table: table.to_owned(),
        }
    }

    /// The place after the last token.
    fn end(&self) -> Option<Position> {
        crate::sql::statement::significant_tokens(&self.tokens)
            .last()
            .and_then(|token| position(token.span.end))
    }
}

/// What is wrong with a regular expression, if that is what an error is of.
fn of_regex(message: &str) -> Option<String> {
    if message.contains("Compiled regex exceeds size limit") {
        return Some("a regular expression is too large".to_owned());
    }
    let (_, message) = message.split_once("regex parse error:")?;
    let mut lines = message.lines().map(str::trim);
    let why = lines.find_map(|line| line.strip_prefix("error: "))?;
    Some(format!("a regular expression cannot be read: {why}"))
}

/// Whether writing to a spill file failed because of the limit of disk.
fn is_of_spilling(error: &ArrowError) -> bool {
    matches!(error, ArrowError::IoError(message, _) if message.contains("max_temp_directory_size"))
}

/// The error at the bottom, without what was wrapped around it.
fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(error, root),
        DataFusionError::External(inner) => {
            inner.downcast_ref::<DataFusionError>().map_or(error, root)
        }
        DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
            ArrowError::ExternalError(inner) => {
                inner.downcast_ref::<DataFusionError>().map_or(error, root)
            }
            _ => error,
        },
        _ => error,
    }
}

fn place(diagnostic: &Diagnostic) -> Option<Position> {
    let start = diagnostic.span?.start;
    Some(Position {
        line: start.line,
        column: start.column,
    })
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

fn first_line(message: &str) -> &str {
    message
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('.')
}
