//! Hints: the next step after an error, as a command.

use rollbook_app::NextStep;

/// The next step as a command.
pub(crate) fn as_command(step: &NextStep) -> String {
    let text = match step {
        NextStep::Words(words) => words,
        NextStep::MakeLake => "`rollbook ingest` creates one; --lake and --tenant choose another",
        NextStep::Again => "run the command again",
        NextStep::ListSnapshots | NextStep::ListBatches => "`rollbook snapshots` lists them",
        NextStep::KeepSnapshots => {
            "`rollbook snapshots` lists the existing ones, `rollbook snapshot keep` keeps one for good, the setting `snapshot_days` says how long others are kept"
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
        NextStep::ListReviews => "`rollbook identity review list` lists the records that wait",
        NextStep::ListDecisions => "`rollbook identity decisions` lists them",
        NextStep::ListBlocked => "`rollbook identity blocked` lists the blocked values",
        NextStep::ListRefused => "`rollbook journal` lists the rejected requests",
        NextStep::ListKeys => "`rollbook api-key list` shows them all",
        NextStep::ListSecrets => "`rollbook secret list` shows their names",
        NextStep::CreateKey | NextStep::SendKey => "`rollbook api-key create` creates one",
        NextStep::AskForRight(right) => {
            return format!("`rollbook api-key create --rights {right}` creates a key with it");
        }
        NextStep::OwnMappings => "custom mappings can be given with --mappings DIR",
        NextStep::Train(kind) => return format!("run `rollbook score train {kind}`"),
        NextStep::Score(kind) => return format!("run `rollbook score run {kind}`"),
    };
    text.to_owned()
}
