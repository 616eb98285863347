//! Folders, names and compression of source files.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::write::GzEncoder;

use super::{Compression, Format, discover, spool, unpacked_name};
use crate::ReadError;

fn write(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn folder_lists_files_in_order_with_their_formats() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "b.CSV", b"a\n1\n");
    write(folder.path(), "a/z.jsonl.gz", &gzip(b"{}\n"));
    write(folder.path(), "a/packed", &gzip(b"a,b\n1,2\n"));
    write(folder.path(), "notes.md", b"a,b\nc,d\n");
    write(folder.path(), "picture", b"\x89PNG\r\n\x1a\n\0\0");
    write(folder.path(), ".hidden.csv", b"a\n");
    write(folder.path(), ".git/x.csv", b"a\n");
    write(folder.path(), "t.parquet", b"PAR1");
    write(
        folder.path(),
        "u.csv.zst",
        &zstd::encode_all(&b"a\n1\n"[..], 1).unwrap(),
    );

    let files = discover(&[folder.path().to_owned(), folder.path().join("b.CSV")]).unwrap();
    let found: Vec<_> = files
        .iter()
        .map(|file| {
            let label = Path::new(&file.label).strip_prefix(folder.path()).unwrap();
            (
                label.to_str().unwrap(),
                file.name(),
                file.format,
                file.compression,
            )
        })
        .collect();
    let expected = [
        ("a/packed", "packed", Format::Csv, Compression::Gzip),
        ("a/z.jsonl.gz", "z.jsonl", Format::Ndjson, Compression::Gzip),
        ("b.CSV", "b.CSV", Format::Csv, Compression::None),
        ("notes.md", "notes.md", Format::Unknown, Compression::None),
        ("picture", "picture", Format::Unknown, Compression::None),
        ("t.parquet", "t.parquet", Format::Parquet, Compression::None),
        ("u.csv.zst", "u.csv", Format::Csv, Compression::Zstd),
    ]
    .map(|(label, name, format, packed)| (label, name.to_owned(), format, packed));
    assert_eq!(found, expected);
}

#[test]
fn missing_path_is_reported() {
    let error = discover(&["/no/such/orders.csv".into()]).unwrap_err();
    assert!(matches!(error, ReadError::Missing { .. }));
    assert_eq!(
        error.to_string(),
        "`/no/such/orders.csv` does not exist, check the path"
    );
}

#[test]
fn standard_input_becomes_a_file_with_the_given_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = spool(&b"{\"a\":1}\n"[..], "../orders", folder.path()).unwrap();
    assert_eq!(file.path, folder.path().join("orders"));
    assert_eq!(file.label, "<stdin>/orders");
    assert_eq!(file.format, Format::Ndjson);
}

#[test]
fn compression_suffix_is_removed_once() {
    let check = |name: &str, expected: &str| assert_eq!(unpacked_name(name), expected);
    check("orders.csv.gz", "orders.csv");
    check("orders.csv.ZSTD", "orders.csv");
    check("orders.gzip", "orders");
    check("orders.csv", "orders.csv");
    check(".gz", ".gz");
    check("é.gz", "é");
}
