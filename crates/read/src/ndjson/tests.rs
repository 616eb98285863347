//! JSON files, line by line and as one array.

use crate::tests::{Given, check_error, read};

#[test]
fn columns_are_the_union_of_all_keys_in_order() {
    let text = "{\"id\":1,\"name\":\"Ada\"}\n\n{\"name\":null,\"total\":1.10}\r\n{\"id\":\" \"}";
    let found = read(&Given::new("x.ndjson", text));
    assert_eq!(found.columns, ["id", "name", "total"]);
    assert_eq!(
        found.rows,
        [
            (1, vec![Some("1"), Some("Ada"), None]),
            (3, vec![None, None, Some("1.10")]),
            (4, vec![None, None, None]),
        ]
        .map(|(line, cells)| (
            line,
            cells.into_iter().map(|c| c.map(str::to_owned)).collect()
        ))
    );
    assert!(found.refused.is_empty());
}

#[test]
fn bad_lines_are_refused_and_the_others_read() {
    let text = b"{\"a\":1}\nnonsense\n{\"a\":\n[1]\n{\"a\":\"\xff\"}\n{\"a\":\"";
    let text = [text, "é".repeat(5).as_bytes(), b"\"}\n"].concat();
    let found = read(&Given::new("x.jsonl", text));
    assert_eq!(found.lines(), [1, 6]);
    let refused: Vec<_> = found
        .refused
        .iter()
        .map(|r| (r.line, r.code, r.reason.as_str()))
        .collect();
    assert_eq!(
        refused,
        [
            (2, "bad_json", "it is not valid JSON at character 2"),
            (3, "bad_json", "the JSON ends in the middle of a value"),
            (4, "bad_json", "it is JSON but not an object"),
            (5, "bad_encoding", "byte 7 of the record cannot be decoded"),
        ]
    );
    assert_eq!(found.refused[0].record, "nonsense");
}

#[test]
fn one_array_is_read_element_by_element() {
    let text = "[\n  {\"a\": 1,\n   \"b\": [1, 2]},\n\n  {\"a\": \"x\"} , 7,\r\n{\"b\":{}}\n]\n";
    let found = read(&Given::new("x.json", text));
    assert_eq!(found.columns, ["a", "b"]);
    assert_eq!(found.lines(), [2, 5, 6]);
    assert_eq!(
        found.rows[0].1,
        [Some("1".to_owned()), Some("[1, 2]".to_owned())]
    );
    let refused: Vec<_> = found
        .refused
        .iter()
        .map(|r| (r.line, r.record.as_str()))
        .collect();
    assert_eq!(refused, [(5, "7")]);
}

#[test]
fn a_broken_array_loses_no_element() {
    let found = read(&Given::new(
        "x.json",
        "[{\"a\":1},\n}{\"a\":2},\n{\"a\":3\n",
    ));
    assert_eq!(found.lines(), [1, 2]);
    let refused: Vec<_> = found
        .refused
        .iter()
        .map(|r| (r.line, r.record.as_str()))
        .collect();
    assert_eq!(refused, [(2, "}"), (3, "{\"a\":3\n")]);
}

#[test]
fn documents_of_another_form_give_a_clear_error() {
    check_error(
        Given::new("x.json", "{\n \"a\": 1\n}\n"),
        "`x.json` is one JSON document over several lines: write one object per line, or one array of objects",
    );
    check_error(
        Given::new("x.ndjson", " \n\n"),
        "`x.ndjson` is empty, it has no header and no rows",
    );
}

#[test]
fn numbers_are_written_with_the_declared_decimal_sign() {
    let text = "{\"a\":1.5,\"b\":\"1.5\",\"c\":-0.25,\"d\":[1.5]}";
    let mut given = Given::new("x.ndjson", text);
    given.file.decimal_comma = true;
    let found = read(&given);
    let cells: Vec<_> = found.rows[0].1.iter().flatten().collect();
    assert_eq!(cells, ["1,5", "1.5", "-0,25", "[1.5]"]);
}
