//! The binary `rollbook`: parses arguments, runs the command, prints the result.
//!
//! Exit status 0: success, also with rows in quarantine. 1: failure. 2: invalid arguments.

mod arguments;
mod commands;
mod output;
mod scratch;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command, Segment};

/// The system's allocator returns large column buffers to the system at once, which is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // If that fails, commands that need temporary files report it.
    let _scratch = scratch::Scratch::create().ok();
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
            // The server stops gracefully: it answers running requests first.
            return commands::run(arguments).await;
        }
        tokio::select! {
            // Ctrl-C is waited for before the command begins: at a prompt it would else leave the terminal
            // without an echo.
            biased;
            // Dropping the future removes its temporary files; nothing was committed.
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
            outcome = commands::run(arguments) => outcome,
        }
    });
    let status = outcome.unwrap_or_else(|error| {
        ExitCode::from(output::report_error::report_error(&error, sql.as_deref()))
    });
    // A cancelled command may still be reading a file: do not wait for it.
    runtime.shutdown_background();
    status
}

/// The SQL that an error's position refers to.
fn sql_of(command: &Command) -> Option<String> {
    match command {
        Command::Sql(arguments) => Some(arguments.query.clone()),
        Command::Segment(Segment::Put(arguments)) => arguments.criteria.clone(),
        Command::Segment(Segment::Preview { criteria, .. } | Segment::Impact { criteria, .. }) => {
            Some(criteria.clone())
        }
        _ => None,
    }
}
