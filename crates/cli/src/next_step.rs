//! The next step after an error, as commands.

use rollbook_app::NextStep;

/// The next step in the terms of somebody at a terminal.
pub(crate) fn as_command(step: &NextStep) -> String {
    let text = match step {
        NextStep::Words(words) => words,
        NextStep::MakeLake => {
            "`rollbook ingest` makes one, or name another with --lake and --tenant"
        }
        NextStep::Again => "run the command again",
        NextStep::ListSnapshots | NextStep::ListBatches => "`rollbook snapshots` lists them",
        NextStep::KeepSnapshots => {
            "`rollbook snapshots` lists those that are there, `rollbook snapshot keep` keeps one for good, the setting `snapshot_days` says how long the others stay"
        }
        NextStep::ListSnapshotNames => "`rollbook snapshot list` shows the names",
        NextStep::ListSegments => "`rollbook segment list` shows them all",
        NextStep::Refresh(segment) => return format!("run `rollbook segment refresh {segment}`"),
        NextStep::ListTables => "`rollbook tables` lists the tables",
        NextStep::ListSchema => "`rollbook schema` lists them all",
        NextStep::ListColumns => {
            "`rollbook schema TABLE` lists the columns; text is written in single quotes, `'like this'`"
        }
        NextStep::ListRecords => "`rollbook sql` lists them in `identities`",
        NextStep::ListReviews => "`rollbook identity review list` lists those that do",
        NextStep::ListDecisions => "`rollbook identity decisions` lists them",
        NextStep::ListBlocked => "`rollbook identity blocked` lists what is",
        NextStep::ListRefused => "`rollbook journal` lists what was",
        NextStep::OwnMappings => "or give a folder of your own with --mappings DIR",
        NextStep::Train(kind) => return format!("run `rollbook score train {kind}`"),
        NextStep::Score(kind) => return format!("run `rollbook score run {kind}`"),
    };
    text.to_owned()
}
