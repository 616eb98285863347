//! The `journal` command: the write-ahead log of requests.

use std::process::ExitCode;

use rollbook_app::Workspace;
use rollbook_app::ingest::wal::{Folded, drop_rejected, fold, retry, status};

use crate::arguments::{JournalCommand, OutputFormat};
use crate::commands::clock::now;
use crate::output::show::{Document, Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    arguments: Option<JournalCommand>,
    format: OutputFormat,
) -> anyhow::Result<ExitCode> {
    match arguments {
        Some(JournalCommand::Fold { mappings }) => {
            print_folded(&fold(workspace, mappings.as_deref(), now()).await?)
        }
        Some(JournalCommand::Retry { mappings }) => {
            print_folded(&retry(workspace, mappings.as_deref(), now()).await?)
        }
        Some(JournalCommand::Drop { id }) => {
            drop_rejected(workspace, &id).await?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let status = status(workspace).await?;
            let columns = ["id", "provider", "file", "reason"];
            let mut shown = Shown::list(&status.refused, &columns)?;
            shown.document = Document::of(&status)?;
            if format != OutputFormat::Table || !status.refused.is_empty() {
                print(&shown, format)?;
            }
            let (objects, bytes, rejected) = (status.objects, status.bytes, status.refused.len());
            eprintln!("{objects} objects of {bytes} bytes wait; {rejected} requests were rejected");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Prints the result; fails if requests were rejected.
fn print_folded(folded: &Folded) -> anyhow::Result<ExitCode> {
    eprintln!("{} requests were committed", folded.posted.len());
    match folded.refused {
        0 => Ok(ExitCode::SUCCESS),
        refused => {
            eprintln!("{refused} requests were rejected: `rollbook journal` shows why");
            Ok(ExitCode::FAILURE)
        }
    }
}
