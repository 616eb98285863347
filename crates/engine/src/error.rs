//! Errors of queries, in the words of the person who wrote the query.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::error::DataFusionError;

/// A position in the SQL text: line and column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: u64,
    /// The character in that line, from 1.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a query gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The text holds only blanks and comments.
    #[error("there is no SQL to run")]
    Empty,

    /// The text is not SQL.
    #[error("syntax error{}: {message}", at(position))]
    Syntax {
        /// What the parser expected and found.
        message: String,
        /// Where the parser stopped.
        position: Option<Position>,
    },

    /// No column in scope has this name.
    #[error(
        "unknown column `{column}`{}{}{}",
        in_table(table),
        at(position),
        did_you_mean(nearest)
    )]
    UnknownColumn {
        /// The name as written.
        column: String,
        /// The table, if the column can only belong to one.
        table: Option<String>,
        /// The column with the most similar name.
        nearest: Option<String>,
        /// Where the name stands.
        position: Option<Position>,
    },

    /// Several tables in scope have a column of this name.
    #[error(
        "column `{column}`{} is in more than one table: write `table.{column}`",
        at(position)
    )]
    AmbiguousColumn {
        /// The name as written.
        column: String,
        /// Where the name stands.
        position: Option<Position>,
    },

    /// No table or view has this name.
    #[error("unknown table `{table}`{}{}", at(position), did_you_mean(nearest))]
    UnknownTable {
        /// The name as written.
        table: String,
        /// The table with the most similar name.
        nearest: Option<String>,
        /// Where the name stands.
        position: Option<Position>,
    },

    /// No function has this name.
    #[error(
        "unknown function `{function}`{}{}",
        at(position),
        did_you_mean(nearest)
    )]
    UnknownFunction {
        /// The name as written.
        function: String,
        /// The function with the most similar name.
        nearest: Option<String>,
        /// Where the name stands.
        position: Option<Position>,
    },

    /// A behaviour function with arguments that it does not accept.
    #[error("`{function}`{}: {message}", at(position))]
    Behaviour {
        /// The function.
        function: String,
        /// What is wrong, and which arguments the function accepts.
        message: String,
        /// Where the call stands.
        position: Option<Position>,
    },

    /// An error in the text of a `where` argument, which is SQL on the columns of a fact.
    #[error("in `where` of `{function}`{}: {source}", at(position))]
    InWhere {
        /// The function.
        function: String,
        /// Where the text begins; positions in `source` count from there.
        position: Option<Position>,
        /// The error in that text.
        source: Box<EngineError>,
    },

    /// An operator or a function with operands of types that it does not accept.
    #[error("the types do not fit: {message}")]
    Types {
        /// Which types do not fit; types have the names that users write.
        message: String,
    },

    /// A value in the data that an expression cannot be computed with.
    #[error("the computation failed for a value: {message}")]
    Value {
        /// Which computation failed, and with which value.
        message: String,
    },

    /// The text is SQL, but the planner refuses it.
    #[error("the query cannot be planned: {message}")]
    Invalid {
        /// The planner's message.
        message: String,
    },

    /// A part of SQL that this engine does not support.
    #[error("not supported: {message}")]
    Unsupported {
        /// The unsupported part.
        message: String,
    },

    /// A statement other than a `select`.
    #[error("only queries can be run, and `{statement}` is not one: write a `select`")]
    NotReadOnly {
        /// The first word of the statement.
        statement: String,
    },

    /// A text with more than one statement.
    #[error("there is more than one statement: run them one by one")]
    MoreThanOneStatement {
        /// Where the second statement begins.
        position: Option<Position>,
    },

    /// A personal column, in a session without the right to read personal columns.
    #[error(
        "column `{column}` of `{table}`{} is personal, and reading it requires the right `pii`: leave it out, or ask someone who has that right",
        at(position)
    )]
    Personal {
        /// The column.
        column: String,
        /// The table of the column.
        table: String,
        /// Where the text names the column; `None` if the text does not, as in `select *`.
        position: Option<Position>,
    },

    /// `with recursive` is refused, because it may not end.
    #[error(
        "`with recursive`{} is not available, because it may never end",
        at(position)
    )]
    Recursive {
        /// Where it stands.
        position: Option<Position>,
    },

    /// The text is longer than the limit.
    #[error("the SQL has {characters} characters, but the limit is {limit}")]
    TooLong {
        /// The length of the text.
        characters: usize,
        /// The limit.
        limit: usize,
    },

    /// The text is within the length limit, but planning it would take too long.
    #[error("the query has too many {what}{}: at most {limit}", at(position))]
    TooComplex {
        /// What the query has too many of, in the plural.
        what: &'static str,
        /// The largest allowed number.
        limit: usize,
        /// Where the limit is exceeded.
        position: Option<Position>,
    },

    /// A function with another result at each call, in criteria or in a trait.
    #[error(
        "`{function}`{} cannot be used in criteria and traits, because it gives another result each time",
        at(position)
    )]
    Volatile {
        /// The function.
        function: String,
        /// Where the call stands.
        position: Option<Position>,
    },

    /// An aggregate or window function in criteria, outside a subquery.
    #[error(
        "`{function}`{} needs many rows, but criteria are evaluated for one person at a time",
        at(position)
    )]
    ManyRows {
        /// The function.
        function: String,
        /// Where the call stands.
        position: Option<Position>,
    },

    /// Criteria with a type other than boolean.
    #[error("criteria must be true or false, this gives {found}")]
    NotBoolean {
        /// The type, such as `decimal(19,4)`.
        found: String,
    },

    /// A `select` for the members of a segment with other columns than one column of person ids.
    #[error(
        "a segment's `select` must give one column `person_id` of integers, this gives {found}"
    )]
    NotPersonIds {
        /// The columns that it gives.
        found: String,
    },

    /// A custom trait that reads `people`, which contains the trait.
    #[error(
        "a trait cannot query `people`{}, which contains the trait: query the base tables",
        at(position)
    )]
    TraitReadsPeople {
        /// Where `people` stands.
        position: Option<Position>,
    },

    /// A `select` for a custom trait with other columns than `person_id` and a value.
    #[error(
        "a trait's `select` must give two columns, `person_id` of integers and the value, this gives {found}"
    )]
    NotATrait {
        /// The columns that it gives.
        found: String,
    },

    /// A default value that is not a literal of the trait's type.
    #[error("`{default}` is not a literal of the trait's type, {ty}")]
    TraitDefault {
        /// The default as written.
        default: String,
        /// The type, as users write it.
        ty: String,
    },

    /// A custom trait with several rows for one person.
    #[error("trait `{name}` has more than one row for person {person}")]
    DuplicateTraitRow {
        /// The trait.
        name: String,
        /// One of the persons with several rows.
        person: i64,
    },

    /// A custom trait that cannot be computed.
    #[error("trait `{name}`: {source}")]
    InTrait {
        /// The trait.
        name: String,
        /// The error; positions count in the text of the trait.
        source: Arc<EngineError>,
    },

    /// The query exceeded its memory limit.
    #[error("the query needs more than the {} of memory that it may use", size(*limit))]
    MemoryExhausted {
        /// The limit in bytes.
        limit: u64,
    },

    /// Other queries use the memory that is shared.
    #[error("other requests use the memory of the server at the moment")]
    MemoryInUse,

    /// The query exceeded its limit for temporary files.
    #[error("the query needs more than the {} of disk that it may use", size(*limit))]
    DiskExhausted {
        /// The limit in bytes.
        limit: u64,
    },

    /// The query exceeded its time limit.
    #[error("the query took longer than {} and was stopped", seconds(*limit))]
    TimeExhausted {
        /// The limit.
        limit: Duration,
    },

    /// `as_of` is outside the range of the timestamps that sessions compare with.
    #[error("`{as_of}` is out of range: use a time between 1678 and 2261")]
    AsOfOutOfRange {
        /// The time as given.
        as_of: String,
    },

    /// A table was added twice, or after [`Session::finish`](crate::Session::finish).
    #[error("table `{table}` exists already")]
    TableExists {
        /// The name of the table.
        table: String,
    },

    /// A table's provider lacks a column of the table's definition.
    #[error("table `{table}` lacks column `{column}` of type {expected}")]
    TableLacksColumn {
        /// The table.
        table: String,
        /// The missing column.
        column: String,
        /// The type of the column in the definition.
        expected: String,
    },

    /// The data could not be read.
    #[error("the data cannot be read: {source}")]
    Storage {
        /// The error of the store or of the file.
        source: Box<DataFusionError>,
    },

    /// The session could not be set up.
    #[error("the query engine cannot be started: {source}")]
    Setup {
        /// The error of DataFusion.
        source: Box<DataFusionError>,
    },

    /// The threads for queries could not be started.
    #[error("the threads for queries cannot be started: {source}")]
    Threads {
        /// The error of the operating system.
        source: std::io::Error,
    },

    /// A defect in rollbook or in DataFusion.
    #[error("internal error of the query engine: {source}")]
    Internal {
        /// The error of DataFusion.
        source: Box<DataFusionError>,
    },

    /// The thread of the query panicked.
    #[error("the query ended without a result")]
    WorkerPanicked,
}

impl EngineError {
    /// The message for logs and other permanent records: without the value that the computation
    /// failed with, since the value may be personal.
    pub fn without_values(&self) -> String {
        let mut inner = self;
        loop {
            inner = match inner {
                Self::Value { message } if !message.is_empty() => {
                    return self
                        .to_string()
                        .replace(message.as_str(), &valueless(message));
                }
                Self::InTrait { source, .. } => source,
                Self::InWhere { source, .. } => source,
                _ => return self.to_string(),
            };
        }
    }

    /// Where in the SQL text the error is, if that is known.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Syntax { position, .. }
            | Self::UnknownColumn { position, .. }
            | Self::AmbiguousColumn { position, .. }
            | Self::UnknownTable { position, .. }
            | Self::UnknownFunction { position, .. }
            | Self::MoreThanOneStatement { position }
            | Self::Recursive { position }
            | Self::TooComplex { position, .. }
            | Self::Volatile { position, .. }
            | Self::ManyRows { position, .. }
            | Self::TraitReadsPeople { position }
            | Self::Behaviour { position, .. }
            | Self::InWhere { position, .. } => *position,
            _ => None,
        }
    }

    /// The next step, for errors with a message that does not name it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnknownColumn { nearest: None, .. } => {
                Some("text is written in single quotes, `'like this'`")
            }
            Self::TooComplex { .. } => Some("put long lists of values into `column in (…)`"),
            Self::TooLong { .. } => Some("load long lists of values as data, and join them"),
            Self::MemoryExhausted { .. } | Self::DiskExhausted { .. } => {
                Some("ask for fewer columns, a shorter period or fewer groups")
            }
            Self::MemoryInUse => Some("try again in a moment"),
            Self::TimeExhausted { .. } => Some(
                "narrow the period or the persons; a join without `=` compares every row with every other",
            ),
            Self::Volatile { .. } => {
                Some("`now()` is the moment that the segment is computed for, and stays the same")
            }
            Self::ManyRows { .. } => Some(
                "use a trait of `people`, or `person_id in (select …)` with the aggregate inside",
            ),
            Self::NotBoolean { .. } => Some("compare it with something, as in `total_spent > 100`"),
            Self::InTrait { source, .. } => source.hint(),
            Self::NotATrait { .. } => Some("write `select person_id, … from … group by person_id`"),
            Self::TraitDefault { .. } => Some("text is written in single quotes, `'like this'`"),
            Self::DuplicateTraitRow { .. } => {
                Some("group the rows of the trait: `… group by person_id`")
            }
            Self::NotPersonIds { .. } => Some("write `select person_id from …`"),
            Self::Types { .. } => Some("convert one side with `cast(… as type)`"),
            Self::Internal { .. } | Self::WorkerPanicked => {
                Some("please report it, with the SQL and the version of rollbook")
            }
            _ => None,
        }
    }
}

/// A message about a value, without the value.
fn valueless(message: &str) -> String {
    let quoted = message.find('\'').zip(message.rfind('\''));
    match quoted.filter(|_| message.starts_with("cannot cast ")) {
        // The value itself may contain quotes.
        Some((from, to)) => format!("{}'…'{}", &message[..from], &message[to + 1..]),
        None => "a preview of the criteria shows the value".to_owned(),
    }
}

fn at(position: &Option<Position>) -> String {
    position
        .map(|position| format!(" at {position}"))
        .unwrap_or_default()
}

fn in_table(table: &Option<String>) -> String {
    table
        .as_ref()
        .map(|table| format!(" in `{table}`"))
        .unwrap_or_default()
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|nearest| format!("; did you mean `{nearest}`?"))
        .unwrap_or_default()
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

fn seconds(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{} s", time.as_secs()),
        _ => format!("{} ms", time.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::EngineError;

    #[test]
    fn messages_for_logs_contain_no_value() {
        let value = |message: &str| EngineError::Value {
            message: message.to_owned(),
        };
        for (message, kept) in [
            (
                "cannot cast text '(415) 555-9876' to value of bigint type",
                "the computation failed for a value: cannot cast text '…' to value of bigint type",
            ),
            (
                "cannot cast text 'O'Neill' to value of bigint type",
                "the computation failed for a value: cannot cast text '…' to value of bigint type",
            ),
            (
                "error parsing timestamp from 'Ann Lee': no date",
                "the computation failed for a value: a preview of the criteria shows the value",
            ),
            (
                "regex parse error: (Ann",
                "the computation failed for a value: a preview of the criteria shows the value",
            ),
        ] {
            assert_eq!(value(message).without_values(), kept);
            let of_trait = EngineError::InTrait {
                name: "mine".to_owned(),
                source: Arc::new(value(message)),
            };
            let expected = format!("trait `mine`: {kept}");
            assert_eq!(of_trait.without_values(), expected);
        }
        assert_eq!(
            EngineError::Empty.without_values(),
            "there is no SQL to run"
        );
    }
}
