//! A column that a mapping needs may be on an unreadable line of a JSON file: then the mapping runs without
//! it, and that line goes to quarantine.

use rollbook_engine::EngineError;
use rollbook_model::config::BATCH_ROWS;
use rollbook_read::{Format, Reader, SourceFile};

use crate::IngestError;
use crate::run::claim::Claim;

/// The column that identifies a row.
const KEY: &str = "external_id";

/// The column whose absence made planning fail, if an unreadable line of the driving files may have it. Then
/// the rows without it are refused one by one.
pub(crate) fn column_of_unreadable_line(claim: &Claim, error: &IngestError) -> Option<String> {
    let column = match error {
        IngestError::MissingOutput { column, .. } if *column == KEY => KEY,
        IngestError::MappingSql { source, .. } => match source.as_ref() {
            EngineError::UnknownColumn { column, .. } => column,
            _ => return None,
        },
        _ => return None,
    };
    let is_new = !claim.mapping.driving().optional.iter().any(|c| c == column);
    let mut files = claim.files.iter().take(1).flatten();
    (is_new && files.any(holds_unreadable)).then(|| column.to_owned())
}

fn holds_unreadable(file: &SourceFile) -> bool {
    if file.format != Format::Ndjson {
        return false;
    }
    let Ok(mut reader) = Reader::open(file, BATCH_ROWS) else {
        return false;
    };
    let mut refused = Vec::new();
    while let Ok(Some(_)) = reader.next_batch(&mut refused) {
        if !refused.is_empty() {
            return true;
        }
    }
    !refused.is_empty()
}
