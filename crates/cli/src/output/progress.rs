//! Progress on standard error: a spinner on a terminal, plain lines in a log.

use std::io::{IsTerminal, stderr};
use std::sync::Mutex;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use rollbook_app::{Event, Progress, UnknownStatus};

use crate::output::visible::visible;

/// Progress shown to the user. Dropping the bar clears it.
pub(crate) fn progress() -> (Progress, Bar) {
    if !stderr().is_terminal() {
        return (Progress::new(|event| log(&event)), Bar(None));
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) =
        ProgressStyle::with_template("{spinner} {msg} {human_pos} rows read ({elapsed})")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    let shown = bar.clone();
    (
        Progress::new(move |event| show(&shown, &event)),
        Bar(Some(bar)),
    )
}

/// Clears the progress bar when dropped.
pub(crate) struct Bar(Option<ProgressBar>);

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn show(bar: &ProgressBar, event: &Event) {
    match event {
        Event::Mapping { mapping, .. } => bar.set_message(format!("reading {mapping}:")),
        Event::Rows { rows } => bar.inc(*rows),
        Event::Writing { table } => bar.set_message(format!("writing {table}:")),
        Event::ColumnsMissing { .. } | Event::ColumnsGone { .. } => {
            bar.suspend(|| note_columns(event));
        }
        Event::UnknownStatus(unknown) => bar.suspend(|| note_unknown(unknown)),
        Event::Odd(odd) => bar.suspend(|| note(&odd.to_string())),
        Event::Overtaken => bar.set_message("another writer was faster, comparing again:"),
    }
}

/// Prints a note, escaped because it holds texts of files.
fn note(text: &str) {
    eprintln!("note: {}", visible(text));
}

fn note_columns(event: &Event) {
    let names = |columns: &[String]| {
        let columns: Vec<_> = columns.iter().map(|name| format!("`{name}`")).collect();
        columns.join(", ")
    };
    let outcome = |keeps: &bool| match keeps {
        true => "known values are kept",
        false => "null in its rows",
    };
    match event {
        Event::ColumnsMissing {
            file,
            columns,
            keeps,
        } => {
            let columns = names(columns);
            let outcome = outcome(keeps);
            note(&format!(
                "`{file}` lacks {columns}, which other files have: {outcome}"
            ));
        }
        Event::ColumnsGone {
            file,
            files,
            columns,
            keeps,
        } => {
            let (columns, outcome) = (names(columns), outcome(keeps));
            let files = match files {
                1 => format!("`{file}` lacks"),
                _ => format!("`{file}` and {} more lack", files - 1),
            };
            note(&format!(
                "{files} {columns}, which the last run had: {outcome}"
            ));
        }
        _ => {}
    }
}

fn note_unknown(unknown: &UnknownStatus) {
    let UnknownStatus {
        table,
        column,
        status,
        rows,
        counts_as,
    } = unknown;
    let of = match rows {
        1 => format!("1 row of `{table}` has"),
        rows => format!("{rows} rows of `{table}` have"),
    };
    note(&format!(
        "{of} the {column} `{status}`, which counts as {counts_as}"
    ));
}

/// Rows between two lines of the log.
const LOG_EVERY: u64 = 1_000_000;

fn log(event: &Event) {
    static READ: Mutex<u64> = Mutex::new(0);
    match event {
        Event::Mapping { mapping, files: 1 } => eprintln!("reading {mapping} (1 file)"),
        Event::Mapping { mapping, files } => eprintln!("reading {mapping} ({files} files)"),
        Event::Rows { rows } => {
            if let Ok(mut read) = READ.lock() {
                if (*read + rows) / LOG_EVERY > *read / LOG_EVERY {
                    eprintln!("{} rows read", HumanCount(*read + rows));
                }
                *read += rows;
            }
        }
        Event::Writing { .. } => {}
        Event::ColumnsMissing { .. } | Event::ColumnsGone { .. } => note_columns(event),
        Event::UnknownStatus(unknown) => note_unknown(unknown),
        Event::Odd(odd) => note(&odd.to_string()),
        Event::Overtaken => eprintln!("another writer was faster, comparing again"),
    }
}
