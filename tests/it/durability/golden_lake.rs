//! The lake of an older program: this program writes the same files for the same commands, and continues
//! the older lake.
//!
//! `golden/lake.tar.gz` holds the lake, its master key, and the time at which it was created.
//! CONTRIBUTING.md says how to make it again after an intended change of the layout.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rollbook_lake::ValueName;
use serde_json::{Map, Value, json};

use crate::support::own_lake::{OwnLake, column, counts};

/// A folder with the lake of the older program.
fn unpacked(name: &str) -> OwnLake {
    let lake = OwnLake::new(name);
    let archive = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/it/durability/golden/lake.tar.gz"
    );
    let ended = Command::new("tar")
        .args(["-xzf", archive, "-C"])
        .arg(lake.path(""))
        .status();
    assert!(ended.unwrap().success());
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(lake.path("master.key"), mode).unwrap();
    lake
}

/// Compares two lakes; either is a folder, or a program that creates one.
fn compare(lake: &OwnLake, old: &Path, new: &Path) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/compare_lakes.py");
    let ended = Command::new(rollbook_tests::python())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(script)
        .args([old, new])
        .arg("--short")
        .arg("--folder")
        .arg(lake.path("made"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let complained = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.code() == Some(0) || said.contains("lines differ"),
        "{said}\n{complained}"
    );
    (ended.status.success(), said)
}

/// Whether all lines that differ are sizes of encrypted documents.
fn differ_in_size_alone(said: &str) -> bool {
    let is_header = |line: &&str| line.starts_with("---") || line.starts_with("+++");
    let lines = said.lines().filter(|line| !is_header(line));
    let mut changed = lines.filter(|line| line.starts_with(['-', '+']));
    changed.all(|line| line.ends_with(" bytes"))
}

#[test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
fn files_on_disk_equal_those_of_an_older_program() {
    let lake = unpacked("golden_compared");
    let old = lake.path("");
    let program = rollbook_tests::rollbook().get_program().to_owned();
    let (mut is_equal, mut said) = compare(&lake, &old, Path::new(&program));
    if !is_equal && differ_in_size_alone(&said) {
        // A time that ends in zeros is shorter, and so is an encrypted document that has it.
        (is_equal, said) = compare(&lake, &old, Path::new(&program));
    }
    assert!(is_equal, "{said}");

    // A lake in which one figure is another one is not taken for equal.
    let new = lake.path("made/new");
    let record = new.join("lake/default/_snapshots/00000000000000000003.json");
    let text = fs::read_to_string(&record).unwrap();
    let other = text.replacen("\"accepted\": 16", "\"accepted\": 17", 1);
    assert_ne!(text, other);
    fs::write(&record, other).unwrap();
    let (is_equal, said) = compare(&lake, &old, &new);
    assert!(!is_equal && said.contains("\"accepted\": 17"), "{said}");
}

#[test]
fn lake_of_an_older_program_opens_and_accepts_more_rows() {
    let lake = unpacked("golden_opened");
    let run = |arguments: &[&str]| -> Value {
        let mut command = lake.command(arguments);
        command.env("ROLLBOOK_MASTER_KEY_FILE", lake.path("master.key"));
        command.env_remove("ROLLBOOK_MASTER_KEY");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let is_sound = || assert_eq!(run(&["check"])["problems"], json!([]));
    is_sound();
    for number in 1.. {
        let record = format!("lake/default/_snapshots/{number:020}.json");
        let Ok(record) = fs::read(lake.path(&record)) else {
            assert!(number > 1);
            break;
        };
        let record: Value = serde_json::from_slice(&record).unwrap();
        for name in record["named"].as_object().into_iter().flat_map(Map::keys) {
            let parsed = ValueName::parse(name);
            assert!(!matches!(parsed, ValueName::Unknown(_)), "{name}");
        }
    }
    let value = |query: &str| run(&["sql", query])[0]["n"].clone();
    // Person 6 was erased, 10 and 11 are one, and an order was taken back.
    assert_eq!(value("select count(*) as n from people"), 14);
    let known = "select count(email) as n from people where email like '%@example.com'";
    assert_eq!(value(known), 14);
    assert_eq!(value("select count(*) as n from orders"), 17);
    assert_eq!(value("select count(*) as n from quarantine"), 1);
    let listed = run(&["segment", "list"]);
    assert_eq!(
        column(&listed, "key"),
        ["buyers", "by_trait", "germans", "viewers"]
    );
    assert_eq!(column(&listed, "count"), [3, 6, 6, 4]);
    assert_eq!(run(&["suppression", "list"]).as_array().unwrap().len(), 2);
    assert_eq!(run(&["snapshot", "list"])[0]["name"], "first");

    let rows = "external_id,person_external_id,status,currency,total,placed_at,paid_at\n\
                o1,s7,paid,EUR,5.50,2025-02-11,2025-02-12\n\
                new,s1,paid,EUR,500,2025-12-24,2025-12-24\n\
                his,s5,paid,EUR,500,2025-12-24,2025-12-24\n";
    let orders = lake.write("more/orders.csv", rows);
    let mappings = concat!(env!("CARGO_MANIFEST_DIR"), "/../queries/mappings/native");
    let ingest = [
        "ingest",
        "shop",
        orders.to_str().unwrap(),
        "--mappings",
        mappings,
    ];
    assert_eq!(counts(&run(&ingest), "orders"), [3, 2, 1, 0]);
    // Memberships patched from the older program's equal those computed over all persons.
    let refresh = ["segment", "refresh", "--as-of", "2026-01-15"];
    run(&refresh);
    let buyers = run(&["segment", "members", "buyers"]);
    assert!(buyers.as_array().unwrap().contains(&json!(2)));
    let full = run(&[refresh.as_slice(), &["--full"]].concat());
    assert_eq!(full.as_array().unwrap().len(), 4);
    let moved = full.as_array().unwrap().iter();
    let moved: Vec<_> = moved.map(|one| [&one["entered"], &one["left"]]).collect();
    assert_eq!(moved, [[&json!(0); 2]; 4]);
    run(&["identity", "split", "11"]);
    run(&["compact", "--all"]);
    run(&["vacuum"]);
    run(&["keys", "rotate"]);
    // The two who were one have an address each.
    assert_eq!(value(known), 15);
    is_sound();
}
