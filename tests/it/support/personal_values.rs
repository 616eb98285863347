//! Finds personal values in a lake: in texts that its key decrypts, and in its files.

use std::fs;
use std::path::Path;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD as STANDARD, BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rollbook_lake::Lake;
use rollbook_lake::vault::Vault;
use rollbook_model::tables;
use serde_json::Value;

/// The lake of a folder, opened in this process.
pub(crate) async fn opened(workspace: &Path) -> Lake {
    let workspace = workspace.to_str().unwrap();
    Lake::open(workspace, "default".parse().unwrap())
        .await
        .unwrap()
}

/// Every text that can be read with the lake and its key, each with its location.
pub(crate) async fn texts(folder: &Path) -> Vec<(String, String)> {
    let lake = opened(folder).await;
    let mut texts = Vec::new();
    for def in tables::TABLES.iter().filter(|def| def.has_personal()) {
        for batch in Vault::new(&lake, def).batches().await.unwrap() {
            for column in batch.unwrap().columns() {
                let column = cast(column, &DataType::Utf8).unwrap();
                let all = column.as_string::<i32>().iter().flatten();
                texts.extend(all.map(|text| (format!("vault of {}", def.name), text.to_owned())));
            }
        }
    }
    for kind in ["_definitions", "_answers"] {
        for object in lake.store().walk(&lake.path(kind)).await.unwrap() {
            let below = object.path.strip_prefix("default/").unwrap();
            // What a killed writer left is read by nobody: it has no name that opens it.
            if below.rsplit('/').next().unwrap().starts_with('.') {
                continue;
            }
            let document: Value = lake.document(below).await.unwrap();
            texts.push((kind.to_owned(), document.to_string()));
        }
    }
    let mut entries = Vec::new();
    for appended in lake.wal_objects().await.unwrap() {
        entries.extend(lake.entries(&appended).await.unwrap());
    }
    for refused in lake.refused().await.unwrap() {
        entries.extend(lake.refused_entries(&refused).await.unwrap());
    }
    for entry in entries {
        let body = String::from_utf8(entry.body).unwrap();
        texts.push((format!("entry {}", entry.header.id), body));
    }
    texts
}

/// The spellings of a value: as it is, as a JSON escape, in a URL, in base64.
pub(crate) fn forms(value: &str) -> Vec<String> {
    let units = value.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
    let quoted = serde_json::to_string(value).unwrap();
    let letter = |byte: u8| match byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    let mut forms = vec![
        value.to_owned(),
        value.replace('@', "\\u0040"),
        units.collect(),
        quoted.trim_matches('"').to_owned(),
        value.bytes().map(letter).collect(),
        STANDARD.encode(value),
        STANDARD_NO_PAD.encode(format!("to {value}, and others")),
    ];
    forms.sort();
    forms.dedup();
    forms
}

/// Whether any file below a folder contains a text: as bytes, or in a column of a Parquet file.
pub(crate) fn holds(folder: &Path, text: &str) -> bool {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_there = match path.is_dir() {
            true => holds(&path, text),
            false => {
                let bytes = fs::read(&path).unwrap();
                let plain = bytes
                    .windows(text.len())
                    .any(|part| part == text.as_bytes());
                plain
                    || (path.extension().is_some_and(|ext| ext == "parquet")
                        && in_columns(&path, text))
            }
        };
        if is_there {
            return true;
        }
    }
    false
}

fn in_columns(path: &Path, text: &str) -> bool {
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    reader.into_iter().any(|batch| {
        batch.unwrap().columns().iter().any(|column| {
            let texts = cast(column, &DataType::Utf8);
            texts.is_ok_and(|texts| {
                let texts = texts.as_string::<i32>();
                texts.iter().flatten().any(|one| one.contains(text))
            })
        })
    })
}
