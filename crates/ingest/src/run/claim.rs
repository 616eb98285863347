//! Which mapping reads which of the given files.

use std::path::Path;

use rollbook_model::ProviderName;
use rollbook_read::{Format, SourceFile};

use crate::IngestError;
use crate::mapping::{Mapping, mappings};

/// A mapping with the files of each of its sources, in the order of `mapping.sources`.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) mapping: Mapping,
    pub(crate) files: Vec<Vec<SourceFile>>,
}

/// Checks that a mapping of the provider reads this file, given what the lake holds.
///
/// # Errors
/// [`IngestError::NothingClaimed`] where no mapping reads it; [`IngestError::MissingSource`] where the
/// mapping that does needs other files too; [`IngestError::Read`] where the file cannot be opened; those of
/// [`mappings`] where the mappings cannot be loaded.
pub fn check_claimed(
    provider: &ProviderName,
    folder: Option<&Path>,
    file: &Path,
) -> Result<(), IngestError> {
    let known = mappings(provider, folder)?;
    let label = file.file_name().unwrap_or_default().to_string_lossy();
    let file = SourceFile::labelled(file, label.into_owned())?;
    claim(provider, &known, &[file]).map(drop)
}

/// The mappings that have files of their driving source, and the labels of files that no mapping reads.
pub(crate) fn claim(
    provider: &ProviderName,
    mappings: &[Mapping],
    files: &[SourceFile],
) -> Result<(Vec<Claim>, Vec<String>), IngestError> {
    let mut claims = Vec::new();
    let mut read = vec![false; files.len()];
    for mapping in mappings {
        let matching = |source: &crate::mapping::Source| -> Vec<usize> {
            let readable = |file: &SourceFile| file.format != Format::Unknown;
            let meant = |file: &SourceFile| readable(file) && source.pattern.matches(&file.name());
            (0..files.len()).filter(|&at| meant(&files[at])).collect()
        };
        let found: Vec<Vec<usize>> = mapping.sources.iter().map(matching).collect();
        if found[0].is_empty() {
            continue;
        }
        for (source, files) in mapping.sources.iter().zip(&found) {
            if files.is_empty() && !source.may_be_absent && source.from_lake.is_none() {
                return Err(IngestError::MissingSource {
                    mapping: mapping.label(),
                    wanted: source.name.clone(),
                    pattern: source.pattern.to_string(),
                });
            }
        }
        found.iter().flatten().for_each(|&at| read[at] = true);
        let as_read = |&at: &usize| mapping.as_read(&files[at]);
        let files_of = |places: &Vec<usize>| places.iter().map(as_read).collect();
        claims.push(Claim {
            mapping: mapping.clone(),
            files: found.iter().map(files_of).collect(),
        });
    }
    if claims.is_empty() {
        let patterns: Vec<_> = mappings
            .iter()
            .map(|m| m.driving().pattern.to_string())
            .collect();
        let mut patterns: Vec<_> = patterns.iter().map(String::as_str).collect();
        patterns.sort_unstable();
        patterns.dedup();
        return Err(IngestError::NothingClaimed {
            provider: provider.clone(),
            files: files.len(),
            patterns: patterns.join(", "),
        });
    }
    let unread = files.iter().zip(&read).filter(|(_, read)| !**read);
    Ok((claims, unread.map(|(file, _)| file.label.clone()).collect()))
}
