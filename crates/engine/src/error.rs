//! What can go wrong with a query, told in the words of the person who wrote it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::error::DataFusionError;

/// A place in the SQL text. Both count characters from 1.
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
    /// There is nothing but blanks and comments.
    #[error("there is no SQL to run")]
    Empty,

    /// The text is not SQL.
    #[error("syntax error{}: {message}", at(position))]
    Syntax {
        /// What the parser expected and found.
        message: String,
        /// Where.
        position: Option<Position>,
    },

    /// A name that no column in reach has.
    #[error(
        "unknown column `{column}`{}{}{}",
        in_table(table),
        at(position),
        did_you_mean(nearest)
    )]
    UnknownColumn {
        /// The name as it was written.
        column: String,
        /// The table that was to have it, where only one comes into question.
        table: Option<String>,
        /// The column that was probably meant.
        nearest: Option<String>,
        /// Where.
        position: Option<Position>,
    },

    /// A column name that more than one table in reach has.
    #[error(
        "column `{column}`{} is in more than one table: write `table.{column}`",
        at(position)
    )]
    AmbiguousColumn {
        /// The name as it was written.
        column: String,
        /// Where.
        position: Option<Position>,
    },

    /// A name that no table or view has.
    #[error("unknown table `{table}`{}{}", at(position), did_you_mean(nearest))]
    UnknownTable {
        /// The name as it was written.
        table: String,
        /// The table that was probably meant.
        nearest: Option<String>,
        /// Where.
        position: Option<Position>,
    },

    /// A name that no function has.
    #[error(
        "unknown function `{function}`{}{}",
        at(position),
        did_you_mean(nearest)
    )]
    UnknownFunction {
        /// The name as it was written.
        function: String,
        /// The function that was probably meant.
        nearest: Option<String>,
        /// Where.
        position: Option<Position>,
    },

    /// A behaviour function that is called as it cannot be.
    #[error("`{function}`{}: {message}", at(position))]
    Behaviour {
        /// The function.
        function: String,
        /// What is wrong, and what it takes.
        message: String,
        /// Where.
        position: Option<Position>,
    },

    /// The text of a `where` argument, which is SQL on the columns of a fact.
    #[error("in `where` of `{function}`{}: {source}", at(position))]
    InWhere {
        /// The function.
        function: String,
        /// Where the text stands; what `source` says of places counts from its beginning.
        position: Option<Position>,
        /// What is wrong with it.
        source: Box<EngineError>,
    },

    /// Operators or functions that do not take values of these types.
    #[error("the types do not fit: {message}")]
    Types {
        /// What does not fit, with the types named as users know them.
        message: String,
    },

    /// A value that turned up while the query ran and cannot be computed with.
    #[error("a value cannot be computed with: {message}")]
    Value {
        /// What is wrong with it.
        message: String,
    },

    /// The query is SQL, but asks for what cannot be done.
    #[error("the query cannot be planned: {message}")]
    Invalid {
        /// What is wrong, from the planner.
        message: String,
    },

    /// A part of SQL that this engine does not have.
    #[error("not supported: {message}")]
    Unsupported {
        /// The part.
        message: String,
    },

    /// Something else than a `select`.
    #[error("only queries can be run, `{statement}` is none: write a `select`")]
    NotReadOnly {
        /// The statement's first word.
        statement: String,
    },

    /// More than one statement in one text.
    #[error("there is more than one statement: run them one by one")]
    MoreThanOneStatement {
        /// Where the second one begins.
        position: Option<Position>,
    },

    /// A personal column, asked for by somebody who may not see such.
    #[error(
        "column `{column}` of `{table}`{} is personal, and seeing it takes the right `pii`: leave it out, or ask someone who has that right",
        at(position)
    )]
    Personal {
        /// The column.
        column: String,
        /// Its table.
        table: String,
        /// Where the text names it, if it does.
        position: Option<Position>,
    },

    /// A `with recursive`, which may never end.
    #[error(
        "`with recursive`{} is not available, because it may never end",
        at(position)
    )]
    Recursive {
        /// Where.
        position: Option<Position>,
    },

    /// A text longer than is read.
    #[error("the SQL has {characters} characters, at most {limit} are read")]
    TooLong {
        /// Its length.
        characters: usize,
        /// The limit.
        limit: usize,
    },

    /// A text within the length that would take too long to plan.
    #[error("the query has too many {what}{}: at most {limit}", at(position))]
    TooComplex {
        /// What there is too much of, in the plural.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
        /// Where the limit was passed.
        position: Option<Position>,
    },

    /// A function in criteria, or a trait, that gives another result each time.
    #[error(
        "`{function}`{} cannot be used in criteria and traits, because it gives another result each time",
        at(position)
    )]
    Volatile {
        /// The function.
        function: String,
        /// Where.
        position: Option<Position>,
    },

    /// A function in criteria that needs many rows, outside a subquery.
    #[error(
        "`{function}`{} needs many rows, criteria look at one person",
        at(position)
    )]
    ManyRows {
        /// The function.
        function: String,
        /// Where.
        position: Option<Position>,
    },

    /// Criteria that are not true or false.
    #[error("criteria must be true or false, this gives {found}")]
    NotBoolean {
        /// What it gives instead, such as `decimal(19,4)`.
        found: String,
    },

    /// A `select` for members whose output is not one column of person ids.
    #[error(
        "a segment's `select` must give one column `person_id` of integers, this gives {found}"
    )]
    NotPersonIds {
        /// What it gives instead.
        found: String,
    },

    /// A trait whose text is computed from what it is to become a part of.
    #[error(
        "`people`{} would have the trait itself in it: write it on the tables",
        at(position)
    )]
    TraitReadsPeople {
        /// Where.
        position: Option<Position>,
    },

    /// A trait whose `select` gives something else than persons and a value.
    #[error(
        "a trait's `select` must give two columns, `person_id` of integers and the value, this gives {found}"
    )]
    NotATrait {
        /// What it gives instead.
        found: String,
    },

    /// A default that is not what the trait is.
    #[error("`{default}` is no literal of the trait's type, {ty}")]
    TraitDefault {
        /// The default.
        default: String,
        /// The type, as users know it.
        ty: String,
    },

    /// A trait that has several values for one person.
    #[error("trait `{name}` has more than one row for person {person}")]
    DuplicateTraitRow {
        /// The trait.
        name: String,
        /// The first such person that was met.
        person: i64,
    },

    /// A trait of the tenant's own that cannot be computed.
    #[error("trait `{name}`: {source}")]
    InTrait {
        /// The trait.
        name: String,
        /// What is wrong with it; places are those in its text.
        source: Arc<EngineError>,
    },

    /// The query needed more memory than it may use.
    #[error("the query needs more than the {} of memory that it may use", size(*limit))]
    MemoryExhausted {
        /// The limit in bytes.
        limit: u64,
    },

    /// The query needed more room on disk than it may use.
    #[error("the query needs more than the {} of disk that it may use", size(*limit))]
    DiskExhausted {
        /// The limit in bytes.
        limit: u64,
    },

    /// The query took too long.
    #[error("the query took longer than {} and was stopped", seconds(*limit))]
    TimeExhausted {
        /// The limit.
        limit: Duration,
    },

    /// The moment to look from lies beyond what timestamps can say.
    #[error("`{as_of}` is out of range: use a time between 1678 and 2261")]
    AsOfOutOfRange {
        /// The time that was given.
        as_of: String,
    },

    /// A table was added twice, or after the session was finished.
    #[error("table `{table}` is already there")]
    TableExists {
        /// Its name.
        table: String,
    },

    /// A table's provider does not have the columns of its definition.
    #[error("table `{table}` lacks column `{column}` of type {expected}")]
    TableLacksColumn {
        /// The table.
        table: String,
        /// The missing column.
        column: String,
        /// The type it should have.
        expected: String,
    },

    /// Data could not be read.
    #[error("the data cannot be read: {source}")]
    Storage {
        /// What the store or the file said.
        source: Box<DataFusionError>,
    },

    /// The session could not be set up.
    #[error("the query engine cannot be started: {source}")]
    Setup {
        /// Why.
        source: Box<DataFusionError>,
    },

    /// Threads for the queries could not be started.
    #[error("the threads for queries cannot be started: {source}")]
    Threads {
        /// Why.
        source: std::io::Error,
    },

    /// A fault of ours or of the engine below us.
    #[error("the query failed through no fault of its text: {source}")]
    Internal {
        /// What happened.
        source: Box<DataFusionError>,
    },

    /// The query's thread ended without a result, which only a panic does.
    #[error("the query ended without a result")]
    WorkerPanicked,
}

impl EngineError {
    /// The same for places where it stays, such as a log: without the value that could not be
    /// computed with, which may be somebody's name or number.
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

    /// Where in the SQL it is, if that is known.
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

    /// The next step, where the message itself does not say it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnknownColumn { nearest: None, .. } => {
                Some("text is written in single quotes, `'like this'`")
            }
            Self::TooComplex { .. } => Some("put long lists of values into `column in (…)`"),
            Self::TooLong { .. } => Some("load long lists of values as data, and join them"),
            Self::MemoryExhausted { .. } | Self::DiskExhausted { .. } => {
                Some("ask for fewer columns, a shorter time or fewer groups")
            }
            Self::TimeExhausted { .. } => Some(
                "narrow the time or the persons; a join without `=` compares every row with every other",
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
            Self::DuplicateTraitRow { .. } => Some("group its rows: `… group by person_id`"),
            Self::NotPersonIds { .. } => Some("write `select person_id from …`"),
            Self::Types { .. } => Some("convert one side with `cast(… as type)`"),
            Self::Internal { .. } | Self::WorkerPanicked => {
                Some("please report it, with the SQL and the version of rollbook")
            }
            _ => None,
        }
    }
}

/// What is wrong with a value, without the value.
fn valueless(message: &str) -> String {
    let quoted = message.find('\'').zip(message.rfind('\''));
    match quoted.filter(|_| message.starts_with("cannot cast ")) {
        // A value may have quotes of its own.
        Some((from, to)) => format!("{}'…'{}", &message[..from], &message[to + 1..]),
        None => "a preview of the criteria shows which".to_owned(),
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
    fn persisted_errors_hold_no_value() {
        let value = |message: &str| EngineError::Value {
            message: message.to_owned(),
        };
        for (message, kept) in [
            (
                "cannot cast text '(415) 555-9876' to value of bigint type",
                "a value cannot be computed with: cannot cast text '…' to value of bigint type",
            ),
            (
                "cannot cast text 'O'Neill' to value of bigint type",
                "a value cannot be computed with: cannot cast text '…' to value of bigint type",
            ),
            (
                "error parsing timestamp from 'Ann Lee': no date",
                "a value cannot be computed with: a preview of the criteria shows which",
            ),
            (
                "regex parse error: (Ann",
                "a value cannot be computed with: a preview of the criteria shows which",
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
