//! Backups made by others: a path in them that leads outside of the backup or the restored lake is
//! refused.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;

/// Paths in a backup that lead outside of it, and the files there.
const WANTED: &str = "echo wanted";
const OWN: &str = "echo own";

/// Creates `made/deep/backup`, a valid backup, and `home`, to restore to `home/lake`; beside each is a file
/// that must not be copied.
fn folders(name: &str) -> OwnLake {
    let folder = OwnLake::new(name);
    let persons = folder.write("persons.csv", "external_id,email\np1,ann@example.com\n");
    folder.json(&["ingest", "native", persons.to_str().unwrap()]);
    folder.json(&["segment", "put", "all", "--criteria", "true"]);
    folder.json(&["segment", "refresh"]);
    let backup = folder.path("made/deep/backup");
    folder.json(&["backup", backup.to_str().unwrap()]);
    folder.write("made/.profile", WANTED);
    folder.write("made/deep/.profile", WANTED);
    folder.write("home/.profile", OWN);
    folder.write(".profile", OWN);
    folder
}

fn change(file: &Path, change: impl Fn(&mut Value)) {
    let mut document = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    change(&mut document);
    fs::write(file, document.to_string()).unwrap();
}

/// The newest file below a folder with this suffix.
fn newest(folder: &Path, end: &str) -> PathBuf {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let named = files.filter(|path| path.to_str().unwrap().ends_with(end));
    let named = named.filter(|path| !path.ends_with("newest.json"));
    named.max().unwrap()
}

/// Restores the backup, which must fail; returns the error.
fn refused(folder: &OwnLake, what: &str) -> String {
    let home = folder.path("home/lake");
    let mut command = rollbook_tests::rollbook();
    command.arg("--lake").arg(&home);
    command.arg("restore").arg(folder.path("made/deep/backup"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{what}: {said}");
    for kept in ["home/.profile", ".profile"] {
        assert_eq!(
            fs::read_to_string(folder.path(kept)).unwrap(),
            OWN,
            "{what}"
        );
    }
    let is_lake = home.join("default/_snapshots").exists();
    assert!(!is_lake, "{what}: it became a lake");
    said
}

/// A manipulation of a tenant's folder.
type Harm = fn(&Path);

#[test]
fn backup_with_paths_outside_itself_is_refused() {
    let cases: [(&str, Harm); 9] = [
        ("a file of a table", |tenant| {
            change(&newest(&tenant.join("_snapshots"), ".json"), |record| {
                let files = &mut record["state"]["tables"]["persons"]["files"];
                let mut file = files[0].clone();
                file["path"] = json!("../../../.profile");
                files.as_array_mut().unwrap().push(file);
            });
        }),
        ("a file by its whole name", |tenant| {
            let victim = tenant.join("../../../../home/.profile");
            let victim = std::path::absolute(victim).unwrap();
            change(&newest(&tenant.join("_snapshots"), ".json"), |record| {
                let files = &mut record["state"]["tables"]["persons"]["files"];
                files[0]["path"] = json!(victim.to_str().unwrap());
            });
        }),
        ("a table", |tenant| {
            change(&newest(&tenant.join("_snapshots"), ".json"), |record| {
                let tables = record["state"]["tables"].as_object_mut().unwrap();
                let mut table = tables["persons"].clone();
                table["files"][0]["path"] = json!(".profile");
                tables.insert("../../..".to_owned(), table);
            });
        }),
        ("an object that a named value points to", |tenant| {
            change(&newest(&tenant.join("_snapshots"), ".json"), |record| {
                let named = &mut record["state"]["named"];
                named["segment/other"] = json!({"path": "_definitions/../../../../.profile"});
            });
        }),
        ("a run of a vault", |tenant| {
            let manifest = newest(&tenant.join("_vault/persons/manifests"), ".json");
            change(&manifest, |manifest| {
                manifest["runs"][0]["path"] = json!("../../../../.profile");
            });
        }),
        ("a page of keys", |tenant| {
            let manifest = newest(&tenant.join("_vault/_keys/manifests"), ".json");
            change(&manifest, |manifest| {
                manifest["pages"]["0"] = json!("../../../../.profile");
            });
        }),
        ("a link to a file", |tenant| {
            let file = newest(&tenant.join("persons"), ".parquet");
            fs::remove_file(&file).unwrap();
            symlink("../../../../.profile", file).unwrap();
        }),
        ("a link to a folder", |tenant| {
            let ids = tenant.join("_ids");
            fs::remove_dir_all(&ids).unwrap();
            symlink("../..", ids).unwrap();
        }),
        ("a pipe", |tenant| {
            let file = newest(&tenant.join("persons"), ".parquet");
            fs::remove_file(&file).unwrap();
            let made = std::process::Command::new("mkfifo").arg(file).status();
            assert!(made.unwrap().success());
        }),
    ];
    let folder = folders("outside");
    let backup = folder.path("made/deep/backup");
    for (what, make) in cases {
        let home = folder.path("home/lake");
        for gone in [&backup, &home] {
            if gone.exists() {
                fs::remove_dir_all(gone).unwrap();
            }
        }
        folder.json(&["backup", backup.to_str().unwrap()]);
        make(&backup.join("default"));
        let said = refused(&folder, what);
        assert!(said.contains("leads out of the lake"), "{what}: {said}");
    }
}

#[test]
fn delta_log_entries_outside_the_table_are_refused() {
    // A lake that somebody else made, whose newest record has no whole state.
    let folder = folders("outside_log");
    let lake = folder.path("lake/default");
    let made = folder.path("made/deep/backup/default");
    fs::remove_dir_all(&made).unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([&lake, &made])
        .status();
    assert!(copied.unwrap().success());
    change(
        &made.join("_snapshots/00000000000000000001.json"),
        |record| {
            let log = record["tables"]["persons"]["log"].as_str().unwrap();
            let path = log
                .split("\"path\":\"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap();
            record["tables"]["persons"]["log"] = json!(log.replace(path, "../../../.profile"));
        },
    );
    let said = refused(&folder, "an entry of a log");
    assert!(said.contains("leads out of the lake"), "{said}");
}

#[test]
fn backup_behind_a_symlink_is_restored() {
    let folder = folders("outside_not");
    let backup = folder.path("made/deep/backup");
    symlink(&backup, folder.path("link")).unwrap();
    // Links that stay inside are what they point to.
    let file = newest(&backup.join("default/persons"), ".parquet");
    let moved = file.with_file_name("moved");
    fs::rename(&file, &moved).unwrap();
    symlink("moved", &file).unwrap();
    let mut command = rollbook_tests::rollbook();
    command.arg("--lake").arg(folder.path("home/lake"));
    let output = command
        .arg("restore")
        .arg(folder.path("link"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let mut command = rollbook_tests::rollbook();
    command
        .arg("--lake")
        .arg(folder.path("home/lake"))
        .args(["--output", "json"]);
    let output = command
        .args(["sql", "select email from persons"])
        .output()
        .unwrap();
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows, json!([{"email": "ann@example.com"}]));
}
