//! Paths in every spelling that a shell user may give: the program finds the same folder as the system.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;

const PERSONS: &str = "external_id,country,created_at\np1,DE,2024-01-01\n";

/// Creates a folder with `persons.csv`, the working folder `job`, and `link`, which points to `far/away`.
fn folder(name: &str) -> OwnLake {
    let folder = OwnLake::new(name);
    folder.write("persons.csv", PERSONS);
    fs::create_dir_all(folder.path("job")).unwrap();
    fs::create_dir_all(folder.path("far/away")).unwrap();
    symlink("far/away", folder.path("link")).unwrap();
    folder
}

/// Runs the program in a folder.
fn run(stand: &Path, arguments: &[&str]) -> Output {
    let mut command = rollbook_tests::rollbook();
    command.current_dir(stand).args(["--output", "json"]);
    command.args(arguments).output().unwrap()
}

fn json_of(stand: &Path, arguments: &[&str]) -> Value {
    let output = run(stand, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn holds_the_person(stand: &Path, lake: &str) {
    let rows = json_of(
        stand,
        &["--lake", lake, "sql", "select country from people"],
    );
    assert_eq!(rows, json!([{"country": "DE"}]), "{lake}");
}

#[test]
fn lake_is_found_by_every_spelling_of_its_path() {
    let folder = folder("places_lake");
    let job = folder.path("job");
    let absolute = folder.path("job/../lake/");
    let url = format!("file://{}/job/../lake", folder.path("").to_str().unwrap());
    json_of(
        &job,
        &["--lake", "../lake", "ingest", "native", "../persons.csv"],
    );
    assert!(folder.path("lake/default/_snapshots").is_dir());
    symlink("lake", folder.path("other")).unwrap();
    for lake in [
        "../lake",
        "../lake/",
        "../lake//",
        ".././job/../lake/.",
        "../new/../lake",
        "../other",
        "../other/",
        "../other/../lake",
        "../far/../lake",
        absolute.to_str().unwrap(),
        &url,
    ] {
        holds_the_person(&job, lake);
    }
    holds_the_person(&folder.path("lake"), ".");
    holds_the_person(&folder.path("lake/default"), "..");
    // Above a link there is what lies above the folder that it points to.
    json_of(
        &job,
        &[
            "--lake",
            "../link/../lake",
            "ingest",
            "native",
            "../persons.csv",
        ],
    );
    assert!(folder.path("far/lake/default").is_dir());
    holds_the_person(&job, "../far/lake");
    let by_variable = rollbook_tests::rollbook()
        .current_dir(&job)
        .env("ROLLBOOK_LAKE", "../lake")
        .args(["--output", "json", "sql", "select country from people"])
        .output()
        .unwrap();
    assert!(by_variable.status.success());
}

#[test]
fn new_lake_is_created_at_the_given_path() {
    let folder = folder("places_new");
    let job = folder.path("job");
    for (lake, place) in [
        ("../a", "a"),
        ("b/", "job/b"),
        ("./c/../d", "job/d"),
        ("../link/e", "far/away/e"),
        ("../link/../f/", "far/f"),
        ("deep/er/../lake", "job/deep/lake"),
        ("with space", "job/with space"),
        ("100%25 #?", "job/100%25 #?"),
        ("käse*", "job/käse*"),
    ] {
        json_of(
            &job,
            &["--lake", lake, "ingest", "native", "../persons.csv"],
        );
        assert!(
            folder.path(place).join("default/persons").is_dir(),
            "{lake}"
        );
        holds_the_person(&job, lake);
        let checked = json_of(&job, &["--lake", lake, "check"]);
        assert_eq!(checked["problems"], json!([]), "{lake}");
    }
}

#[test]
fn backup_and_restore_accept_every_spelling_of_a_path() {
    let folder = folder("places_backup");
    let job = folder.path("job");
    json_of(
        &job,
        &["--lake", "../lake", "ingest", "native", "../persons.csv"],
    );
    for (at, (backup, place)) in [
        ("../backup", "backup"),
        ("../link/../backup/", "far/backup"),
        ("./x/../backup/.", "job/backup"),
        ("../link/backup//", "far/away/backup"),
    ]
    .into_iter()
    .enumerate()
    {
        json_of(&job, &["--lake", "../lake/", "backup", backup]);
        assert!(
            folder.path(place).join("default/_snapshots").is_dir(),
            "{backup}"
        );
        let lake = format!("../far/../restored-{at}/");
        json_of(&job, &["--lake", &lake, "restore", backup]);
        holds_the_person(&job, &format!("../restored-{at}"));
        // A place is occupied by whatever name it is called.
        let again = run(&job, &["--lake", "../lake", "backup", backup]);
        let said = String::from_utf8_lossy(&again.stderr);
        assert!(!again.status.success() && said.contains("holds"), "{said}");
    }
}

#[test]
fn other_options_accept_every_spelling_of_a_path() {
    let folder = folder("places_options");
    let job = folder.path("job");
    let mapping = "-- about: persons\n-- table: persons\n-- source: people = people.*\n\
                   select id as external_id, land as country, '2024-01-01' as created_at from people\n";
    folder.write("link/mappings/shop/persons.sql", mapping);
    folder.write("link/in/shop/people.csv", "id,land\np1,DE\n");
    json_of(
        &job,
        &[
            "--lake",
            "l1",
            "ingest",
            "shop",
            "../far/../link/in/shop/",
            "--mappings",
            "../link/mappings/../mappings/shop/",
        ],
    );
    holds_the_person(&job, "l1");
    json_of(
        &job,
        &[
            "--lake",
            "l2",
            "sync",
            "../link/in/",
            "--mappings",
            "../link/./mappings/",
        ],
    );
    holds_the_person(&job, "l2");
    json_of(&job, &["inspect", "../link/../away/in/shop/people.csv"]);
    json_of(
        &job,
        &["generate", "--persons", "3", "--out", "../link/../made/"],
    );
    assert!(folder.path("far/made").is_dir());
    // The master key's file.
    let output = rollbook_tests::rollbook()
        .current_dir(&job)
        .env("ROLLBOOK_MASTER_KEY_FILE", "../link/../keys/master.key")
        .args(["--lake", "l3", "ingest", "native", "../persons.csv"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
