//! CSV files as found in practice, good and bad.

use std::io::Write;

use flate2::write::GzEncoder;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

use crate::tests::{Given, check_error, read, read_with};

/// Rows as `line|cell|cell`, with `-` for null, and refusals as `line|code`.
fn check(content: impl AsRef<[u8]>, rows: &[&str], refused: &[&str]) {
    let content = content.as_ref();
    let found = read(&Given::new("x.csv", content));
    let shown: Vec<String> = found
        .rows
        .iter()
        .map(|(line, cells)| {
            let cells: Vec<&str> = cells
                .iter()
                .map(|cell| cell.as_deref().unwrap_or("-"))
                .collect();
            format!("{line}|{}", cells.join("|"))
        })
        .collect();
    let text = String::from_utf8_lossy(content);
    assert_eq!(shown, rows, "{text:?}");
    let shown: Vec<String> = found
        .refused
        .iter()
        .map(|refused| format!("{}|{}", refused.line, refused.code))
        .collect();
    assert_eq!(shown, refused, "{text:?}");
}

#[test]
fn plain_rows_are_read_in_every_dialect() {
    check("a,b\n1,2\n3,\n", &["2|1|2", "3|3|-"], &[]);
    check("a;b\r\n1;2,5\r\n", &["2|1|2,5"], &[]);
    check("a\tb\n1\t 2 \n", &["2|1| 2 "], &[]);
    check("a|b\n1|2", &["2|1|2"], &[]);
    check("sep=;\na;b,c\n1;2\n", &["3|1|2"], &[]);
    check("a\n1\n\n  \n2\n", &["2|1", "5|2"], &[]);
    check("a,b\n\"\",\" \"\n", &["2|-|-"], &[]);
    check("a,b\n", &[], &[]);
    check("a,b", &[], &[]);
}

#[test]
fn unclosed_quote_does_not_change_the_delimiter() {
    // Which delimiter it is may not depend on how much of the file has been read.
    let content = "1\"\"\u{2018}\"\"\";ß\n0~,\";2\n*,;!y";
    for lines_before in ["", "\n\n"] {
        read(&Given::new("x.csv", format!("{lines_before}{content}")));
    }
}

#[test]
fn line_numbers_count_physical_lines() {
    check("\n\na,b\n\n1,2\n", &["5|1|2"], &[]);
    check("a,b\n\"x\n\ny\",2\n3,4\n", &["2|x\n\ny|2", "5|3|4"], &[]);
    check(
        "a,b\r\n\"x\r\ny\",2\r\n3,4\r\n",
        &["2|x\r\ny|2", "4|3|4"],
        &[],
    );
    check(
        "a,b\r1,2\r\"x\ry\",3\r4,5\r",
        &["2|1|2", "3|x\ry|3", "5|4|5"],
        &[],
    );
    check("a,b\r\r\n\n1,2\n", &["4|1|2"], &[]);
    check("\"a\nb\",c\n1,2\n", &["3|1|2"], &[]);
}

#[test]
fn encodings_are_detected() {
    check("\u{feff}a,b\né,ü\n", &["2|é|ü"], &[]);
    check(
        b"name;stadt\nJ\xfcrgen;K\xf6ln\nJos\xe9;M\xfcnchen\n",
        &["2|Jürgen|Köln", "3|José|München"],
        &[],
    );
    let text = "a,b\n\"é\n\",𝄞\n1,2\n";
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let rows = ["2|é\n|𝄞", "4|1|2"];
    check([&b"\xff\xfe"[..], &little].concat(), &rows, &[]);
    check([&b"\xfe\xff"[..], &big].concat(), &rows, &[]);
    // Half of a surrogate pair is refused with its row and leaves the others alone.
    let broken = [&b"\xff\xfe"[..], &little, &[0x00, 0xd8], &little[..8]].concat();
    check(broken, &rows, &["5|bad_encoding"]);
}

#[test]
fn undecodable_rows_are_refused() {
    let good = "é,é\n".repeat(20);
    let content = [&b"a,b\n"[..], good.as_bytes(), b"1,\xe9\n\"\xe9\",2\n3,4\n"].concat();
    let found = read(&Given::new("x.csv", content));
    assert_eq!(found.rows.len(), 21);
    assert_eq!(found.rows[20].0, 24);
    let refused: Vec<_> = found
        .refused
        .iter()
        .map(|r| (r.line, r.reason.as_str(), r.record.as_str()))
        .collect();
    assert_eq!(
        refused,
        [
            (22, "byte 3 of the record is not valid UTF-8", "1,\u{fffd}"),
            (
                23,
                "byte 2 of the record is not valid UTF-8",
                "\"\u{fffd}\",2"
            ),
        ]
    );
}

#[test]
fn ragged_rows_are_refused_with_both_counts() {
    check(
        "a,b\n1\n1,2,3\n4,5\n",
        &["4|4|5"],
        &["2|ragged", "3|ragged"],
    );
    let found = read(&Given::new("x.csv", "a,b\n1\n\"1\n\",2,3\n"));
    let refused: Vec<_> = found
        .refused
        .iter()
        .map(|r| (r.reason.as_str(), r.record.as_str()))
        .collect();
    assert_eq!(
        refused,
        [
            ("the row has 1 field where the header has 2", "1"),
            ("the row has 3 fields where the header has 2", "\"1\n\",2,3"),
        ]
    );
}

#[test]
fn wrong_quote_refuses_its_line_only() {
    check("a,b\n1,\"x\"y\n2,3\n", &["3|2|3"], &["2|bad_quoting"]);
    check(
        "a,b\n1,\"never\n2,3\n4,5\n",
        &["3|2|3", "4|4|5"],
        &["2|bad_quoting"],
    );
    check(
        "a,b\n1,\"open\n2,\"x,y\"\n3,4\n",
        &["3|2|x,y", "4|3|4"],
        &["2|bad_quoting"],
    );
    check("a,b\n5\" pipe,x\n", &["2|5\" pipe|x"], &[]);
    // Line 3 is the rest of line 2 and would pass for a row.
    check(
        "a,b\n1,\"x\ny\" z,2\n3,4\n",
        &["4|3|4"],
        &["2|bad_quoting", "3|bad_quoting"],
    );
    let found = read(&Given::new("x.csv", "a,b\n1,\"x\"y\n"));
    assert_eq!(found.refused[0].column.as_deref(), Some("b"));
    assert_eq!(
        found.refused[0].reason,
        "text follows the closing quote of field 2"
    );
    assert_eq!(found.refused[0].record, "1,\"x\"y");
}

#[test]
fn a_quote_never_closed_does_not_swallow_a_long_file() {
    let rows = "2,some text\n".repeat(300_000);
    let given = Given::new("x.csv", format!("a,b\n1,\"open\n{rows}"));
    let found = read_with(&given, 8192, super::super::window::CHUNK).unwrap();
    assert_eq!(found.rows.len(), 300_000);
    assert_eq!(found.rows[299_999].0, 300_002);
    assert_eq!(found.refused.len(), 1);
}

#[test]
fn endless_line_is_refused_and_skipped() {
    let endless = "x".repeat(40 << 20);
    let given = Given::new("x.csv", format!("a,b\n1,2\n{endless}\n3,4\n"));
    let found = read_with(&given, 8192, super::super::window::CHUNK).unwrap();
    assert_eq!(found.lines(), [2, 4]);
    assert_eq!(
        (found.refused[0].line, found.refused[0].code),
        (3, "too_long")
    );
    assert_eq!(found.refused[0].record.len(), 64 * 1024);
}

#[test]
fn a_row_wrapped_whole_in_quotes_is_unwrapped() {
    check("a,b\n\"1,\"\"x,y\"\"\"\n", &["2|1|x,y"], &[]);
    check("a,b\n\"1,2,3\"\n", &[], &["2|ragged"]);
    check("a\n\"1,2\"\n", &["2|1,2"], &[]);
}

#[test]
fn compressed_files_are_decompressed() {
    let rows = [
        (2, vec![Some("1".to_owned())]),
        (3, vec![Some("2".to_owned())]),
    ];
    let gzip = |content: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    };
    // Whatever the name says, and in two members or frames.
    let members = [gzip(b"a\n1"), gzip(b"\n2\n")].concat();
    assert_eq!(read(&Given::new("x.csv", &members)).rows, rows);
    let zstd = |content: &[u8]| zstd::encode_all(content, 1).unwrap();
    let frames = [zstd(b"a\n1"), zstd(b"\n2\n")].concat();
    assert_eq!(read(&Given::new("x.csv.gz", &frames)).rows, rows);
    check_error(
        Given::new("x.csv.gz", &members[..members.len() - 12]),
        "`x.csv.gz` cannot be decompressed as gzip, it may be cut short: fetch it again",
    );
}

#[test]
fn unreadable_files_give_a_clear_error() {
    let empty = "`x.csv` is empty, it has no header and no rows";
    check_error(Given::new("x.csv", ""), empty);
    check_error(Given::new("x.csv", "\u{feff}\r\n\n"), empty);
    check_error(
        Given::new("x.csv", "PK\u{3}\u{4}\0\0"),
        "`x.csv` is not text: byte 4 is NUL, as in spreadsheets, archives and UTF-16 without a byte order mark; export it as CSV in UTF-8",
    );
    check_error(
        Given::new("x.csv", "\na,\"b\n1,2\n"),
        "the header of `x.csv` on line 2 cannot be read: name 2: its opening quote is never closed",
    );
}

/// A table of cells, as the `csv` crate writes it, with the line on which each row begins.
fn written(table: &[Vec<String>], crlf: bool) -> (Vec<u8>, Vec<i64>) {
    let terminator = if crlf {
        csv::Terminator::CRLF
    } else {
        csv::Terminator::Any(b'\n')
    };
    let mut writer = csv::WriterBuilder::new()
        .terminator(terminator)
        .flexible(true)
        .from_writer(Vec::new());
    let mut lines = Vec::new();
    let mut line = 2;
    writer
        .write_record((0..table[0].len()).map(|column| format!("c{column}")))
        .unwrap();
    for row in table {
        lines.push(line);
        writer.write_record(row).unwrap();
        let ends = row.iter().flat_map(|cell| {
            let cell = cell.replace("\r\n", "\n");
            cell.chars()
                .filter(|c| *c == '\n' || *c == '\r')
                .collect::<Vec<_>>()
        });
        line += 1 + i64::try_from(ends.count()).unwrap();
    }
    (writer.into_inner().unwrap(), lines)
}

fn tables() -> impl Strategy<Value = Vec<Vec<String>>> {
    let cell = "[ab,;\"\n\r\t é𝄞|0-9]{0,8}";
    (2_usize..5).prop_flat_map(move |width| {
        proptest::collection::vec(proptest::collection::vec(cell, width), 1..8)
    })
}

proptest! {
    #[test]
    fn written_rows_are_read_back(table in tables(), crlf: bool, chunk in 1_usize..40) {
        let (content, lines) = written(&table, crlf);
        let found = read_with(&Given::new("x.csv", content), 3, chunk).unwrap();
        prop_assert!(found.refused.is_empty(), "{:?}", found.refused);
        prop_assert_eq!(found.lines(), lines);
        let blank_as_null = |cell: String| (!cell.trim().is_empty()).then_some(cell);
        let expected: Vec<Vec<Option<String>>> = table
            .into_iter()
            .map(|row| row.into_iter().map(blank_as_null).collect())
            .collect();
        let cells: Vec<_> = found.rows.into_iter().map(|(_, cells)| cells).collect();
        prop_assert_eq!(cells, expected);
    }
}
