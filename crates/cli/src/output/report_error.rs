//! Reporting errors: the message, the position in the SQL, and a hint.

use std::io;

use rollbook_app::AppError;
use rollbook_server::ServeError;

use crate::output::next_step::{as_command, to_serve};
use crate::output::visible::visible;

/// Prints an error, and returns the exit status: 0, and nothing printed, for a closed pipe.
pub(crate) fn report_error(error: &anyhow::Error, sql: Option<&str>) -> u8 {
    if is_broken_pipe(error) {
        return 0;
    }
    eprintln!("error: {}", visible(&one_line(error)));
    if let Some(app) = error.downcast_ref::<AppError>() {
        if let (Some(position), Some(sql)) = (app.position(), sql) {
            let line = usize::try_from(position.line)
                .unwrap_or(1)
                .saturating_sub(1);
            if let Some(text) = sql.lines().nth(line) {
                let column = usize::try_from(position.column)
                    .unwrap_or(1)
                    .saturating_sub(1);
                let (text, column) = window(text, column);
                eprintln!("  | {}", visible(&text));
                eprintln!("  | {}^", " ".repeat(column));
            }
        }
        if let Some(step) = app.next_step() {
            eprintln!("hint: {}", visible(&as_command(&step)));
        }
    }
    if let Some(hint) = error.downcast_ref::<ServeError>().and_then(to_serve) {
        eprintln!("hint: {hint}");
    }
    1
}

/// Whether the reader of standard output, such as `head`, has exited, which is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let of_csv = cause
            .downcast_ref::<csv::Error>()
            .and_then(|error| match error.kind() {
                csv::ErrorKind::Io(error) => Some(error.kind()),
                _ => None,
            });
        let of_io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        of_csv.or(of_io) == Some(io::ErrorKind::BrokenPipe)
    })
}

fn one_line(error: &anyhow::Error) -> String {
    error.to_string().replace('\n', " ")
}

/// The part of a long line around a column, as wide as a terminal.
fn window(text: &str, column: usize) -> (String, usize) {
    const WIDTH: usize = 74;
    let from = column.saturating_sub(WIDTH - 14);
    (text.chars().skip(from).take(WIDTH).collect(), column - from)
}
