//! What a draft says of deals that are closed: sources write one date for when a deal was and for
//! when it should be closed, and tell won from lost in columns of their own.

use rollbook_model::TableDef;

use super::{ColumnProfile, Profile, names};

/// Names of a day that is set before a deal is closed.
const PLANNED: [&str; 4] = ["close_date", "closedate", "closing_date", "close_day"];

/// What is known of the state of each row.
pub(super) struct Closing {
    /// SQL that is true for rows that are closed.
    pub(super) is_closed: Option<String>,
    /// SQL of the status, where no column has it.
    pub(super) status: Option<String>,
}

impl Closing {
    /// What the columns of a file tell; `None` for tables without a day that is planned.
    pub(super) fn of(def: &TableDef, profile: &Profile) -> Option<Self> {
        if def.name != "deals" {
            return None;
        }
        let named = |wanted: &[&str]| {
            let is_one =
                |column: &&ColumnProfile| wanted.contains(&names::snake(&column.column).as_str());
            profile.columns.iter().find(is_one).map(quoted)
        };
        let fills = |wanted: &str| {
            let is_one =
                |column: &&ColumnProfile| names::canonical(def, &column.column) == Some(wanted);
            profile.columns.iter().find(is_one).map(quoted)
        };
        let closed = named(&["is_closed", "closed"]).map(|column| is_true(&column));
        let won = named(&["is_won", "won"]).map(|column| is_true(&column));
        let by_name = fills("stage").map(|stage| {
            let has = |word: &str| format!("lower({stage}) like '%{word}%'");
            (has("won"), has("lost"))
        });
        let (is_won, is_lost) = match (won, &closed, by_name) {
            (Some(won), Some(closed), _) => (won, closed.clone()),
            (None, _, Some((won, lost))) => (won, lost),
            (Some(won), None, Some((_, lost))) => (won, lost),
            (Some(won), None, None) => (won, "false".to_owned()),
            (None, _, None) => {
                let by_status =
                    fills("status").map(|status| format!("lower({status}) in ('won', 'lost')"));
                return Some(Self {
                    is_closed: closed.or(by_status),
                    status: None,
                });
            }
        };
        let status = match fills("status") {
            Some(_) => None,
            None => Some(format!(
                "case when {is_won} then 'won' when {is_lost} then 'lost' else 'open' end"
            )),
        };
        let by_status = fills("status").map(|status| format!("lower({status}) in ('won', 'lost')"));
        Some(Self {
            is_closed: closed
                .or(by_status)
                .or_else(|| Some(format!("({is_won} or {is_lost})"))),
            status,
        })
    }
}

/// Whether a column has the day on which a row was or is to be closed.
pub(super) fn is_planned(column: &str) -> bool {
    PLANNED.contains(&names::snake(column).as_str())
}

fn is_true(column: &str) -> String {
    format!("lower({column}) in ('true', 't', 'yes', 'y', '1')")
}

fn quoted(column: &ColumnProfile) -> String {
    super::draft::quoted(&column.column)
}
