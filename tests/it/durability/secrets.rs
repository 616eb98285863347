//! Secrets: encrypted, of one tenant, in their latest state, readable after key rotations and restores.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rollbook_app::{AppError, Workspace, secrets};
use rollbook_lake::LakeError;
use rollbook_model::config::Limits;
use rollbook_tests::times;
use serde_json::{Value, json};

use crate::support::own_lake::{OwnLake, column};
use crate::support::personal_values::{forms, holds};

const VALUE: &str = "sk_live-+/Xq9@pass word";

/// The value of a secret, as a connection will read it.
async fn read(lake: &Path, tenant: &str, name: &str) -> Result<String, AppError> {
    let location = lake.to_str().unwrap().to_owned();
    let workspace = Workspace::new(location, tenant.parse().unwrap(), Limits::default());
    let value = secrets::get(&workspace, &name.parse().unwrap()).await?;
    Ok(String::from_utf8(value.expose().to_vec()).unwrap())
}

/// A `secret put` with a value from a variable.
fn put(lake: &OwnLake, name: &str, value: &str) -> Command {
    let mut command = lake.command(&["secret", "put", name, "--from-env", "VALUE"]);
    command.env("VALUE", value).stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    command
}

fn done(mut command: Command) -> Value {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn said(output: &Output) -> String {
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(all).unwrap()
}

fn is_damaged(read: &Result<String, AppError>) -> bool {
    matches!(read, Err(AppError::Lake(LakeError::Damaged { .. })))
}

#[tokio::test]
async fn value_is_in_no_file_and_no_output() {
    let lake = OwnLake::new("secrets_traces");
    let persons = lake.write("persons.csv", "external_id,email\np1,ann@example.com\n");
    let mut outputs = vec![put(&lake, "shop", VALUE).output().unwrap()];
    outputs.push(put(&lake, "shop", VALUE).output().unwrap());
    lake.json(&["ingest", "native", persons.to_str().unwrap()]);
    let backup = lake.path("backup");
    for arguments in [
        vec!["secret", "list"],
        vec!["check"],
        vec!["vacuum"],
        vec!["keys", "show"],
        vec!["snapshots"],
        vec!["backup", backup.to_str().unwrap()],
        vec!["secret", "delete", "none"],
        vec!["secret", "put", "shop", "--from-command", "printf ''"],
    ] {
        outputs.push(lake.run(&arguments));
    }
    let folder = lake.path("lake");
    assert_eq!(read(&folder, "default", "shop").await.unwrap(), VALUE);
    assert_eq!(read(&backup, "default", "shop").await.unwrap(), VALUE);
    let hexadecimal: String = VALUE.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut spellings = forms(VALUE);
    spellings.extend([hexadecimal.to_uppercase(), hexadecimal]);
    // The test would find it.
    lake.write("lake/default/_secrets/trace", &spellings[0]);
    assert!(holds(&folder, &spellings[0]));
    fs::remove_file(lake.path("lake/default/_secrets/trace")).unwrap();
    for spelling in &spellings {
        assert!(!holds(&folder, spelling), "{spelling}");
        assert!(!holds(&backup, spelling), "{spelling}");
        for output in &outputs {
            assert!(!said(output).contains(spelling), "{}", said(output));
        }
    }
}

#[tokio::test]
async fn secret_is_restored_from_a_backup_and_deleted_for_good() {
    let lake = OwnLake::new("secrets_backup");
    let persons = lake.write("persons.csv", "external_id\np1\n");
    lake.json(&["ingest", "native", persons.to_str().unwrap()]);
    done(put(&lake, "shop", VALUE));
    done(put(&lake, "mail", VALUE));
    let deleted = lake.json(&["secret", "delete", "mail"]);
    assert_eq!(deleted, json!({"deleted": "mail"}));
    let backup = lake.path("backup");
    lake.json(&["backup", backup.to_str().unwrap()]);
    lake.forget();
    lake.json(&["restore", backup.to_str().unwrap()]);
    let folder = lake.path("lake");
    assert_eq!(read(&folder, "default", "shop").await.unwrap(), VALUE);
    let gone = read(&folder, "default", "mail").await;
    assert!(
        matches!(gone, Err(AppError::UnknownSecret { .. })),
        "{gone:?}"
    );
    assert_eq!(
        column(&lake.json(&["secret", "list"]), "name"),
        [json!("shop")]
    );
    assert_eq!(lake.json(&["check"])["problems"], json!([]));
}

#[tokio::test]
async fn tenants_do_not_share_secrets() {
    let lake = OwnLake::new("secrets_tenants");
    fn other<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
        [&["--tenant", "other"][..], arguments].concat()
    }
    done(put(&lake, "shop", "of the default tenant"));
    let mut command = lake.command(&other(&["secret", "put", "shop", "--from-env", "VALUE"]));
    command.env("VALUE", "of the other one");
    done(command);
    done(put(&lake, "mail", "of the default tenant"));
    let folder = lake.path("lake");
    let one = read(&folder, "default", "shop").await.unwrap();
    let another = read(&folder, "other", "shop").await.unwrap();
    assert_eq!(
        [one.as_str(), &another],
        ["of the default tenant", "of the other one"]
    );
    let names = column(&lake.json(&other(&["secret", "list"])), "name");
    assert_eq!(names, [json!("shop")]);
    let unknown = lake.run(&other(&["secret", "delete", "mail"]));
    assert!(said(&unknown).contains("there is no secret `mail`"));
    // A file that is moved from one to the other does not open there, nor under another name.
    let file = |tenant: &str, name: &str| folder.join(format!("{tenant}/_secrets/{name}.json"));
    fs::copy(file("default", "shop"), file("other", "shop")).unwrap();
    fs::copy(file("default", "mail"), file("default", "shop")).unwrap();
    assert!(is_damaged(&read(&folder, "other", "shop").await));
    assert!(is_damaged(&read(&folder, "default", "shop").await));
    assert!(read(&folder, "default", "mail").await.is_ok());
    // The name of an unknown tenant creates nothing.
    lake.run(&["--tenant", "third", "secret", "list"]);
    lake.run(&["--tenant", "third", "secret", "delete", "shop"]);
    assert!(!folder.join("third").exists());
}

/// The commands with a master key of their own.
fn with_key(lake: &OwnLake, key: &str, arguments: &[&str]) -> Command {
    let mut command = lake.command(arguments);
    command.env("ROLLBOOK_MASTER_KEY_FILE", lake.path(key));
    command.env_remove("ROLLBOOK_MASTER_KEY");
    command.env_remove("ROLLBOOK_MASTER_KEY_COMMAND");
    command.env("VALUE", VALUE);
    command
}

#[test]
fn secrets_need_the_master_key_and_follow_its_rotation() {
    let lake = OwnLake::new("secrets_keys");
    let persons = lake.write("persons.csv", "external_id\np1\n");
    let (keys, wrong) = ("keys/master.key", "wrong/master.key");
    let put = ["secret", "put", "shop", "--from-env", "VALUE"];
    let first = with_key(&lake, keys, &put).output().unwrap();
    assert!(
        said(&first).contains("the secret is encrypted with a new key in"),
        "{}",
        said(&first)
    );
    done(with_key(
        &lake,
        keys,
        &["ingest", "native", persons.to_str().unwrap()],
    ));
    let text = |key: &str| fs::read_to_string(lake.path(key)).unwrap();
    let before = text(keys);
    done(with_key(&lake, keys, &["keys", "rotate"]));
    // From now on the new key alone is there.
    let after = text(keys).lines().next().unwrap().to_owned();
    fs::write(lake.path(keys), &after).unwrap();
    assert_ne!(before.trim(), after);
    done(with_key(&lake, keys, &put));
    assert_eq!(
        done(with_key(&lake, keys, &["check"]))["problems"],
        json!([])
    );
    // The key of before, and no key at all, are refused, and nothing is lost.
    lake.write(wrong, &before);
    let mut chmod = Command::new("chmod");
    assert!(
        chmod
            .arg("600")
            .arg(lake.path(wrong))
            .status()
            .unwrap()
            .success()
    );
    for key in [wrong, "none/master.key"] {
        let refused = with_key(&lake, key, &put).output().unwrap();
        assert_eq!(refused.status.code(), Some(1));
        let said = said(&refused);
        assert!(
            said.contains("no master key") && said.contains("ROLLBOOK_MASTER_KEY_FILE"),
            "{said}"
        );
        let listed = done(with_key(&lake, key, &["secret", "list"]));
        assert_eq!(column(&listed, "name"), [json!("shop")]);
    }
    assert!(!lake.path("none/master.key").exists());
    // `check` opens secrets: one that was changed is reported.
    let file = lake.path("lake/default/_secrets/shop.json");
    let sound = fs::read_to_string(&file).unwrap();
    let mut document: Value = serde_json::from_str(&sound).unwrap();
    document["created_at"] = json!("2020-01-01T00:00:00Z");
    fs::write(&file, document.to_string()).unwrap();
    let checked = with_key(&lake, keys, &["check"]).output().unwrap();
    assert!(!checked.status.success());
    assert!(
        said(&checked).contains("_secrets/shop.json"),
        "{}",
        said(&checked)
    );
    fs::write(&file, sound).unwrap();
    assert_eq!(
        done(with_key(&lake, keys, &["check"]))["problems"],
        json!([])
    );
}

/// Several processes put, delete and rotate at once: one of the values is there as a whole, or none.
#[tokio::test]
async fn concurrent_puts_leave_one_whole_value() {
    let lake = OwnLake::new("secrets_concurrent");
    let values = ["short".to_owned(), "long ".repeat(13_000)];
    for _ in 0..times("ROLLBOOK_TEST_ROUNDS", 4) {
        let running = values.iter().flat_map(|value| {
            let processes = [put(&lake, "shop", value), put(&lake, "shop", value)];
            processes.map(|mut command| command.spawn().unwrap())
        });
        let running: Vec<Child> = running.collect();
        for one in running {
            let ended = one.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}", said(&ended));
        }
        let found = read(&lake.path("lake"), "default", "shop").await.unwrap();
        assert!(values.contains(&found), "{} bytes", found.len());
        let mut putting = put(&lake, "shop", &values[0]).spawn().unwrap();
        lake.run(&["secret", "delete", "shop"]);
        assert!(putting.wait().unwrap().success());
        match read(&lake.path("lake"), "default", "shop").await {
            Ok(found) => assert!(values.contains(&found)),
            Err(error) => assert!(matches!(error, AppError::UnknownSecret { .. }), "{error}"),
        }
    }
    let folder = lake.path("lake/default/_secrets");
    let left = fs::read_dir(folder)
        .unwrap()
        .map(|one| one.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name != "shop.json").collect();
    assert!(left.is_empty(), "{left:?}");
}
