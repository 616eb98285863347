//! The status of deals in a draft: sources write the planned and the actual closing day in one column, and
//! won and lost in separate columns.

use rollbook_model::TableDef;

use super::{ColumnProfile, Profile, names};

/// Column names for the day that is planned before a deal is closed.
const PLANNED: [&str; 4] = ["close_date", "closedate", "closing_date", "close_day"];

/// SQL for the status of each row.
pub(super) struct DealStatus {
    /// SQL that is true for rows that are closed.
    pub(super) is_closed: Option<String>,
    /// SQL of the status, if no column has it.
    pub(super) status: Option<String>,
}

impl DealStatus {
    /// The SQL for the status of deals, made from the columns of a file; `None` for other tables.
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
        let words = |column: String| {
            let has = |word: &str| format!("lower({column}) like '%{word}%'");
            (has("won"), has("lost"))
        };
        let has_status = fills("status").is_some();
        let told = fills("status").or_else(|| fills("stage")).map(words);
        let is_closed = closed.clone().or_else(|| {
            told.as_ref()
                .map(|(won, lost)| format!("({won} or {lost})"))
        });
        let is_lost = match (&won, closed) {
            (Some(_), Some(closed)) => Some(closed),
            _ => told.as_ref().map(|(_, lost)| lost.clone()),
        };
        let is_won = won.or(told.map(|(won, _)| won));
        let status = is_won.filter(|_| !has_status).map(|is_won| {
            let lost = is_lost.map(|is_lost| format!(" when {is_lost} then 'lost'"));
            let lost = lost.unwrap_or_default();
            format!("case when {is_won} then 'won'{lost} else 'open' end")
        });
        Some(Self { is_closed, status })
    }
}

/// Whether a column holds the day on which a deal was closed or is planned to close.
pub(super) fn is_planned(column: &str) -> bool {
    PLANNED.contains(&names::snake(column).as_str())
}

fn is_true(column: &str) -> String {
    format!("lower({column}) in ('true', 't', 'yes', 'y', '1')")
}

fn quoted(column: &ColumnProfile) -> String {
    super::text::quoted(&column.column)
}
