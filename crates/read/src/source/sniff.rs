//! The format of a file, from the extension of its name, else from its first lines.

use std::io::Read;

use super::{Format, SourceFile};

/// Number of bytes read of a file without a known extension.
const HEAD: u64 = 16 * 1024;

/// Extensions with their formats.
const DATA: &[(&str, Format)] = &[
    ("csv", Format::Csv),
    ("tsv", Format::Csv),
    ("tab", Format::Csv),
    ("txt", Format::Csv),
    ("ndjson", Format::Ndjson),
    ("jsonl", Format::Ndjson),
    ("json", Format::Ndjson),
    ("parquet", Format::Parquet),
];

/// Extensions of files that may look like rows, but are not.
const NO_DATA: &[&str] = &[
    "md", "rst", "adoc", "html", "htm", "xml", "yml", "yaml", "toml", "ini", "sql", "py", "r",
    "rs", "js", "ts", "sh", "log", "pdf", "doc", "docx", "xls", "xlsx", "ods", "png", "jpg",
    "jpeg", "gif", "svg", "zip", "tar", "7z", "lock", "sha256", "crc",
];

/// The format of a file; `Unknown` if the file cannot be read.
pub(super) fn format(file: &SourceFile) -> Format {
    let name = file.name();
    let ending = name
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_lowercase());
    if let Some(ending) = ending {
        if let Some((_, format)) = DATA.iter().find(|(known, _)| *known == ending) {
            return *format;
        }
        if NO_DATA.contains(&ending.as_str()) {
            return Format::Unknown;
        }
    }
    let mut head = Vec::new();
    let looked = file
        .open()
        .ok()
        .and_then(|open| open.take(HEAD).read_to_end(&mut head).ok());
    looked.map_or(Format::Unknown, |_| by_content(&head))
}

fn by_content(head: &[u8]) -> Format {
    if head.starts_with(b"PAR1") {
        return Format::Parquet;
    }
    let utf16 = head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
    if utf16 {
        return Format::Csv;
    }
    if head.is_empty() || head.contains(&0) {
        return Format::Unknown;
    }
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with("{\"") || text.starts_with("[{") {
        return Format::Ndjson;
    }
    if looks_like_rows(text, head.len() as u64 == HEAD) {
        Format::Csv
    } else {
        Format::Unknown
    }
}

/// Whether the first lines have the same number of some delimiter, at least one.
fn looks_like_rows(text: &str, cut: bool) -> bool {
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    if cut {
        // The last line may end in the middle.
        lines.pop();
    }
    lines.truncate(5);
    [',', ';', '\t', '|'].into_iter().any(|delimiter| {
        let counts: Vec<usize> = lines
            .iter()
            .map(|line| line.matches(delimiter).count())
            .collect();
        counts.len() > 1 && counts[0] > 0 && counts.iter().all(|count| *count == counts[0])
    })
}

#[cfg(test)]
mod tests {
    use super::{Format, by_content};

    #[test]
    fn content_decides_if_the_name_does_not() {
        let check = |head: &str, expected| assert_eq!(by_content(head.as_bytes()), expected);
        check("id;name\n1;Ada\n", Format::Csv);
        check("{\"id\": 1}\n", Format::Ndjson);
        check("\n [{\"id\": 1}]", Format::Ndjson);
        check("PAR1....", Format::Parquet);
        check("Dear all,\n\nhere is the file.\n", Format::Unknown);
        check("\u{0}\u{1}", Format::Unknown);
        check("", Format::Unknown);
    }
}
