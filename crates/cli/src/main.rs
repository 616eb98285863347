//! The binary `rollbook`: parse arguments, do the verb, print, exit.
//!
//! Exit status 0: done, also with rows in quarantine. 1: failed. 2: wrong usage.

mod arguments;
mod commands;
mod next_step;
mod progress;
mod report_error;
mod scratch;
mod show;
mod visible;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command, Segment};

/// Buffers of columns come and go by the megabyte; the system's allocator gives each back at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Without one, who needs temporary files says what is wrong.
    let _scratch = scratch::Scratch::make().ok();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start worker threads: {error}");
            return ExitCode::from(1);
        }
    };
    let sql = sql_of(&arguments.command);
    let serves = matches!(
        arguments.command,
        Command::Serve(_) | Command::Demo { serve: true, .. }
    );
    let outcome = runtime.block_on(async {
        if serves {
            // The server stops in its own way: running requests are answered first.
            return commands::run(arguments).await;
        }
        tokio::select! {
            outcome = commands::run(arguments) => outcome,
            // Dropping the work removes its temporary files; nothing of it was committed.
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
        }
    });
    let status = outcome
        .unwrap_or_else(|error| ExitCode::from(report_error::report_error(&error, sql.as_deref())));
    // A query that was given up may still be planning on a thread of its own: do not wait for it.
    runtime.shutdown_background();
    status
}

/// The SQL that an error's position refers to.
fn sql_of(command: &Command) -> Option<String> {
    match command {
        Command::Sql { query, .. } => Some(query.clone()),
        Command::Segment(Segment::Put(what)) => what.criteria.clone(),
        Command::Segment(Segment::Preview { criteria, .. } | Segment::Impact { criteria, .. }) => {
            Some(criteria.clone())
        }
        _ => None,
    }
}
