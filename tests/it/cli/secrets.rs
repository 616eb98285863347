//! `rollbook secret`: where values come from, what is refused, and that no value is shown.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use rollbook_app::{Workspace, secrets};
use rollbook_model::config::{Limits, SECRET_BYTES};
use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;

async fn read(lake: &OwnLake, name: &str) -> Vec<u8> {
    let location = lake.path("lake").to_str().unwrap().to_owned();
    let workspace = Workspace::new(location, "default".parse().unwrap(), Limits::default());
    let value = secrets::get(&workspace, &name.parse().unwrap()).await;
    value.unwrap().expose().to_vec()
}

fn with_input(mut command: Command, input: &[u8]) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = command.stderr(Stdio::piped()).spawn().unwrap();
    // A command that refuses its arguments reads no input.
    let _ = running.stdin.take().unwrap().write_all(input);
    running.wait_with_output().unwrap()
}

fn messages(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn values_come_from_input_variables_and_commands() {
    let lake = OwnLake::new("secret_sources");
    let file = lake.write("value", "of a file\n");
    let mut longest = vec![b'x'; SECRET_BYTES];
    let command = format!("cat '{}'", file.display());
    let put = |name: &str, options: &[&str], input: &[u8]| {
        let mut command = lake.command(&[&["secret", "put", name][..], options].concat());
        command.env("MY_VALUE", " of a variable\n");
        let output = with_input(command, input);
        assert!(output.status.success(), "{}", messages(&output));
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(shown["name"], name);
        assert!(shown["created_at"].is_string() && shown["updated_at"].is_string());
        assert_eq!(shown.as_object().unwrap().len(), 3, "{shown}");
    };
    put("input", &[], b"piped in\n");
    put("bytes", &[], b"\x00\xff\n\n");
    put("variable", &["--from-env", "MY_VALUE"], b"not this");
    put("command", &["--from-command", &command], b"not this");
    put("longest", &[], &longest);
    assert_eq!(read(&lake, "input").await, b"piped in");
    assert_eq!(read(&lake, "bytes").await, b"\x00\xff\n");
    assert_eq!(read(&lake, "variable").await, b" of a variable\n");
    assert_eq!(read(&lake, "command").await, b"of a file");
    assert_eq!(read(&lake, "longest").await, longest);
    longest.extend_from_slice(b"\r\n");
    put("longest", &[], &longest);
    assert_eq!(read(&lake, "longest").await.len(), SECRET_BYTES);
}

#[test]
fn listing_shows_names_and_times() {
    let lake = OwnLake::new("secret_list");
    let missing = lake.run(&["secret", "list"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(messages(&missing).contains("there is no lake"));
    for name in ["shop", "mail-2_b", "shop"] {
        let output = with_input(lake.command(&["secret", "put", name]), b"hunter2");
        assert!(output.status.success(), "{}", messages(&output));
    }
    let listed = lake.json(&["secret", "list"]);
    let listed = listed.as_array().unwrap();
    let names: Vec<_> = listed.iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, [json!("mail-2_b"), json!("shop")]);
    let (mail, shop) = (&listed[0], &listed[1]);
    assert_eq!(mail["created_at"], mail["updated_at"]);
    assert_ne!(shop["created_at"], shop["updated_at"]);
    let mut csv = lake.command(&["secret", "list"]);
    let csv = csv.args(["--output", "csv"]).output().unwrap();
    let csv = String::from_utf8(csv.stdout).unwrap();
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("name,created_at,updated_at"));
    assert!(lines.next().unwrap().starts_with("mail-2_b,20"));
    assert_eq!(lines.count(), 1);
    let mut table = lake.command(&["secret", "list"]);
    let table = table.args(["--output", "table"]).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("shop"), "{table}");
    assert!(!(csv + &table).contains("hunter2"));
    lake.json(&["secret", "delete", "shop"]);
    let again = lake.run(&["secret", "delete", "shop"]);
    assert_eq!(again.status.code(), Some(1));
    let said = messages(&again);
    assert!(
        said.contains("there is no secret `shop`")
            && said.contains("hint: `rollbook secret list` shows their names"),
        "{said}"
    );
}

#[test]
fn wrong_values_and_sources_are_refused() {
    let lake = OwnLake::new("secret_refused");
    let longer = vec![b'x'; SECRET_BYTES + 1];
    let refused = |arguments: &[&str], input: &[u8], status: i32, expected: &str| {
        let mut command = lake.command(&[&["secret", "put"][..], arguments].concat());
        command.env("EMPTY", "").env_remove("UNSET");
        let output = with_input(command, input);
        let said = messages(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty());
        assert!(!said.contains("hunter2"), "{said}");
    };
    refused(
        &["shop"],
        b"",
        1,
        "there is no value: standard input is empty",
    );
    refused(
        &["shop"],
        b"\n",
        1,
        "there is no value: standard input is empty",
    );
    refused(
        &["shop"],
        &longer,
        1,
        "standard input: the value has more than 65536 bytes",
    );
    refused(
        &["shop", "--from-env", "UNSET"],
        b"hunter2",
        1,
        "`UNSET` is not set",
    );
    refused(
        &["shop", "--from-env", "EMPTY"],
        b"hunter2",
        1,
        "`EMPTY`: the value is empty",
    );
    let failing = "echo hunter2; exit 3";
    let expected = "--from-command: the command failed (exit status: 3)";
    refused(&["shop", "--from-command", failing], b"", 1, expected);
    let endless = ["shop", "--from-command", "yes hunter2"];
    refused(&endless, b"", 1, "the command prints more than");
    let both = ["shop", "--from-command", "echo x", "--from-env", "X"];
    refused(&both, b"", 2, "cannot be used with");
    // Values as arguments are refused without being repeated.
    let argument = "the value of a secret is never an argument";
    refused(&["shop", "hunter2"], b"", 1, argument);
    refused(&["shop", "my", "hunter2", "too"], b"", 1, argument);
    for name in [
        "",
        "Shop",
        "../shop",
        "a b",
        "-x",
        "x.json",
        &"x".repeat(65),
    ] {
        let output = with_input(lake.command(&["secret", "put", name]), b"hunter2");
        assert_eq!(output.status.code(), Some(2), "{name}");
    }
    assert!(!lake.path("lake").exists(), "nothing was stored");
    // Closed instead of empty.
    let mut closed = Command::new("sh");
    let program = lake.command(&["secret", "put", "shop"]);
    let words = [program.get_program()]
        .into_iter()
        .chain(program.get_args());
    let words: Vec<String> = words
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let script = format!("{} <&-", words.join(" "));
    let output = closed.args(["-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(messages(&output).contains("there is no value"));
}

/// Types an answer in a terminal; then types one and interrupts the program. Prints what the terminal
/// showed, and whether it shows again what is typed.
const TERMINAL: &str = r#"
import json, os, pty, signal, sys, termios, time

def run(keys):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(sys.argv[1], sys.argv[1:])
    shown, sent = b"", False
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
        if b"not shown: " in shown and not sent:
            sent = True
            hidden = not termios.tcgetattr(terminal)[3] & termios.ECHO
            os.write(terminal, keys)
        if keys.endswith(b"\x03") and sent:
            break
    _, status = os.waitpid(pid, 0)
    echoes = bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
    return {"shown": shown.decode(), "hidden": hidden, "echoes": echoes, "status": os.waitstatus_to_exitcode(status)}

print(json.dumps([run(b"hunter2 typed\n"), run(b"hunter2 interrupted\x03"), run(b"x" * 5000 + b"\n")]))
"#;

#[tokio::test]
#[cfg_attr(not(has_python), ignore = "needs a Python: set ROLLBOOK_TEST_PYTHON")]
async fn prompt_does_not_show_what_is_typed() {
    let lake = OwnLake::new("secret_prompt");
    let script = lake.write("terminal.py", TERMINAL);
    let command = lake.command(&["secret", "put", "shop"]);
    let mut python = Command::new(rollbook_tests::python());
    python.arg(script).arg(command.get_program());
    let output = python.args(command.get_args()).output().unwrap();
    assert!(output.status.success(), "{}", messages(&output));
    let runs: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [typed, interrupted, long] = [&runs[0], &runs[1], &runs[2]];
    for run in [typed, interrupted, long] {
        assert_eq!(run["hidden"], true, "{run}");
        assert_eq!(run["echoes"], true, "{run}");
        let shown = run["shown"].as_str().unwrap();
        assert!(
            shown.contains("value of `shop`, which is not shown: "),
            "{shown}"
        );
        assert!(
            !shown.contains("hunter2") && !shown.contains("xxx"),
            "{shown}"
        );
    }
    let statuses = [typed, interrupted, long].map(|run| run["status"].clone());
    assert_eq!(statuses, [json!(0), json!(130), json!(1)]);
    let shown = long["shown"].as_str().unwrap();
    assert!(shown.contains("less than 4096 bytes"), "{shown}");
    assert_eq!(read(&lake, "shop").await, b"hunter2 typed");
    assert_eq!(
        fs::read_dir(lake.path("lake/default/_secrets"))
            .unwrap()
            .count(),
        1
    );
}
