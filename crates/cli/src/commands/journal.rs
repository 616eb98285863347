//! `journal`: what was posted and acknowledged, and is in no snapshot yet.

use std::process::ExitCode;

use rollbook_app::Workspace;
use rollbook_app::wal::{Folded, drop_refused, fold, retry, waiting};

use super::now;
use crate::arguments::{Form, JournalCommand};
use crate::show::{Document, Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    what: Option<JournalCommand>,
    form: Form,
) -> anyhow::Result<ExitCode> {
    match what {
        Some(JournalCommand::Fold { mappings }) => {
            told(&fold(workspace, mappings.as_deref(), now()).await?)
        }
        Some(JournalCommand::Retry { mappings }) => {
            told(&retry(workspace, mappings.as_deref(), now()).await?)
        }
        Some(JournalCommand::Drop { id }) => {
            drop_refused(workspace, &id).await?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let waiting = waiting(workspace).await?;
            let columns = ["id", "provider", "file", "reason"];
            let mut shown = Shown::list(&waiting.refused, &columns)?;
            shown.document = Document::of(&waiting)?;
            if form != Form::Table || !waiting.refused.is_empty() {
                print(&shown, form)?;
            }
            let (objects, bytes, refused) = (waiting.objects, waiting.bytes, waiting.refused.len());
            eprintln!("{objects} objects wait, {bytes} bytes; {refused} requests were put aside");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Fails where something was put aside.
fn told(folded: &Folded) -> anyhow::Result<ExitCode> {
    eprintln!("{} requests were taken in", folded.posted.len());
    match folded.refused {
        0 => Ok(ExitCode::SUCCESS),
        refused => {
            eprintln!("{refused} could not be, and were put aside: `rollbook journal` says why");
            Ok(ExitCode::FAILURE)
        }
    }
}
