use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rollbook_model::config::SECRET_BYTES;
use rollbook_model::{SecretName, Timestamp};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::{InvalidSecret, SecretInfo, SecretValue};
use crate::encryption::master::Master;
use crate::{Cause, Commit, Lake, LakeError, LakeRoot, Retention, Store};

const VALUE: &str = "correct horse battery staple";

/// A folder with a lake, and the file of its master key.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn keys(&self) -> PathBuf {
        self.0.path().join("master.key")
    }

    fn secret(&self, tenant: &str, name: &str) -> PathBuf {
        let folder = self.0.path().join("lake").join(tenant);
        folder.join("_secrets").join(format!("{name}.json"))
    }

    /// The lake of a tenant as a new process opens it.
    async fn lake(&self, tenant: &str) -> Lake {
        self.lake_in("lake", tenant).await
    }

    async fn lake_in(&self, name: &str, tenant: &str) -> Lake {
        let location = self.0.path().join(name);
        let store = Store::at(location.to_str().unwrap()).unwrap();
        let root = LakeRoot::with_master(store, Master::in_file(&self.keys()));
        Lake::on(root, tenant.parse().unwrap()).await.unwrap()
    }
}

fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

fn value(text: &str) -> SecretValue {
    SecretValue::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + micros)
}

async fn put(
    lake: &Lake,
    secret: &str,
    text: &str,
    at: Timestamp,
) -> Result<SecretInfo, LakeError> {
    lake.put_secret(&name(secret), &value(text), at).await
}

async fn read(lake: &Lake, secret: &str) -> Option<String> {
    let found = lake.secret(&name(secret)).await.unwrap();
    found.map(|value| String::from_utf8(value.expose().to_vec()).unwrap())
}

async fn is_damaged(lake: &Lake, secret: &str) -> bool {
    let opened = lake.secret(&name(secret)).await;
    let problems = lake.check().await.unwrap().problems;
    let object = format!("_secrets/{secret}.json");
    match opened {
        Err(LakeError::Damaged { path, .. }) => {
            assert_eq!(path, object);
            assert!(problems.iter().any(|one| one.object == object));
            true
        }
        other => {
            assert!(other.is_ok(), "{other:?}");
            assert_eq!(problems, []);
            false
        }
    }
}

#[tokio::test]
async fn secret_is_stored_replaced_listed_and_deleted() {
    let folder = Folder::new();
    let lake = folder.lake("default").await;
    assert_eq!(read(&lake, "shop").await, None);
    assert!(!lake.delete_secret(&name("shop")).await.unwrap());
    let (shop, mail) = (name("shop"), name("mail"));
    let first = lake.put_secret(&shop, &value("one"), at(1)).await.unwrap();
    assert_eq!((first.created_at, first.updated_at), (at(1), at(1)));
    lake.put_secret(&mail, &value("two"), at(2)).await.unwrap();
    let second = lake.put_secret(&shop, &value(VALUE), at(3)).await.unwrap();
    assert_eq!((second.created_at, second.updated_at), (at(1), at(3)));
    let other_process = folder.lake("default").await;
    assert_eq!(read(&other_process, "shop").await.as_deref(), Some(VALUE));
    let listed = other_process.secrets().await.unwrap();
    let listed: Vec<_> = listed
        .iter()
        .map(|one| (one.name.to_string(), one.created_at, one.updated_at))
        .collect();
    let expected = [("mail", at(2), at(2)), ("shop", at(1), at(3))];
    assert_eq!(listed, expected.map(|(name, a, b)| (name.to_owned(), a, b)));
    assert!(lake.delete_secret(&shop).await.unwrap());
    assert_eq!(read(&lake, "shop").await, None);
    // A secret of the same name is a new one.
    let again = lake.put_secret(&shop, &value("new"), at(9)).await.unwrap();
    assert_eq!(again.created_at, at(9));
    assert!(!is_damaged(&lake, "shop").await);
}

#[test]
fn values_have_a_length_and_are_not_printed() {
    let of = |bytes: Vec<u8>| SecretValue::new(Zeroizing::new(bytes));
    assert_eq!(of(Vec::new()).unwrap_err(), InvalidSecret::Empty);
    let longest = of(vec![7; SECRET_BYTES]).unwrap();
    assert_eq!(longest.expose().len(), SECRET_BYTES);
    let longer = of(vec![7; SECRET_BYTES + 1]).unwrap_err();
    assert_eq!(longer, InvalidSecret::TooLong);
    assert_eq!(format!("{:?}", value(VALUE)), "SecretValue");
    let of_text = |text: &str| {
        let text = SecretValue::of_text(Zeroizing::new(text.as_bytes().to_vec()));
        text.map(|value| String::from_utf8(value.expose().to_vec()).unwrap())
    };
    for (text, expected) in [
        ("a", "a"),
        ("a\n", "a"),
        ("a\r\n", "a"),
        ("a\r", "a\r"),
        (" a \n\n", " a \n"),
        ("a\nb\n", "a\nb"),
    ] {
        assert_eq!(of_text(text).as_deref(), Ok(expected), "{text:?}");
    }
    assert_eq!(of_text("\n"), Err(InvalidSecret::Empty));
}

#[test]
fn command_prints_the_value() {
    let of = SecretValue::of_command;
    assert_eq!(of("printf 'a b\\n'").unwrap().expose(), b"a b");
    let longest = format!("head -c {SECRET_BYTES} /dev/zero; echo");
    assert_eq!(of(&longest).unwrap().expose().len(), SECRET_BYTES);
    let longer = format!("head -c {} /dev/zero", SECRET_BYTES + 1);
    assert_eq!(of(&longer).unwrap_err(), InvalidSecret::TooLong);
    assert_eq!(of("true").unwrap_err(), InvalidSecret::Empty);
    let failed = of("printf hidden; exit 3").unwrap_err().to_string();
    assert!(
        failed.contains("the command failed") && !failed.contains("hidden"),
        "{failed}"
    );
    let endless = of("yes").unwrap_err().to_string();
    assert!(endless.contains("prints more than"), "{endless}");
}

#[tokio::test]
async fn changed_or_copied_secret_does_not_open() {
    let folder = Folder::new();
    let lake = folder.lake("default").await;
    let other = folder.lake("other").await;
    for (lake, secret) in [(&lake, "shop"), (&lake, "mail"), (&other, "shop")] {
        put(lake, secret, VALUE, at(0)).await.unwrap();
    }
    let file = folder.secret("default", "shop");
    let sound = fs::read_to_string(&file).unwrap();
    // Under another name, and of another tenant.
    for (tenant, secret) in [("default", "mail"), ("other", "shop")] {
        let target = folder.secret(tenant, secret);
        let own = fs::read(&target).unwrap();
        let lake = folder.lake(tenant).await;
        assert!(!is_damaged(&lake, secret).await, "{tenant} {secret}");
        fs::write(&target, &sound).unwrap();
        assert!(is_damaged(&lake, secret).await, "{tenant} {secret}");
        fs::write(&target, own).unwrap();
    }
    let document: serde_json::Value = serde_json::from_str(&sound).unwrap();
    let sealed = document["sealed"].as_str().unwrap();
    let flipped = match sealed.starts_with('0') {
        true => format!("1{}", &sealed[1..]),
        false => format!("0{}", &sealed[1..]),
    };
    let time = document["updated_at"].as_str().unwrap();
    for changed in [
        sound.replace(sealed, &flipped),
        sound.replace(sealed, &sealed[2..]),
        sound.replace(sealed, ""),
        sound.replace(sealed, "no hexadecimal digits"),
        sound.replacen(time, "2027-01-01T00:00:00Z", 1),
        "{}".to_owned(),
        String::new(),
    ] {
        fs::write(&file, &changed).unwrap();
        assert!(is_damaged(&lake, "shop").await, "{changed}");
    }
    // A new value replaces whatever is there.
    let replaced = put(&lake, "shop", "new", at(5)).await.unwrap();
    assert_eq!(replaced.created_at, at(5));
    assert_eq!(read(&lake, "shop").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn secret_survives_rotations_and_needs_the_right_keys() {
    let folder = Folder::new();
    let lake = folder.lake("default").await;
    put(&lake, "shop", VALUE, at(0)).await.unwrap();
    let before = fs::read(folder.secret("default", "shop")).unwrap();
    let first = fs::read_to_string(folder.keys()).unwrap();
    for _ in 0..2 {
        lake.rotate_keys().await.unwrap().unwrap();
    }
    // The newest master key alone opens it.
    let keys = fs::read_to_string(folder.keys()).unwrap();
    assert_eq!(keys.lines().count(), 3);
    fs::write(folder.keys(), keys.lines().next().unwrap()).unwrap();
    let rotated = folder.lake("default").await;
    assert_eq!(read(&rotated, "shop").await.as_deref(), Some(VALUE));
    let after = fs::read(folder.secret("default", "shop")).unwrap();
    assert_eq!(before, after, "a rotation rewrites no value");

    // The key before the rotations does not; what needs no key still works.
    fs::write(folder.keys(), first).unwrap();
    let outdated = folder.lake("default").await;
    let opened = outdated.secret(&name("shop")).await;
    assert!(
        matches!(opened, Err(LakeError::MasterKey { .. })),
        "{opened:?}"
    );
    let refused = put(&outdated, "shop", "new", at(1)).await;
    assert!(matches!(refused, Err(LakeError::MasterKey { .. })));
    assert_eq!(outdated.secrets().await.unwrap().len(), 1);
    assert_eq!(outdated.check().await.unwrap().problems, []);
    assert_eq!(
        fs::read(folder.secret("default", "shop")).unwrap(),
        after,
        "a refused put changes nothing"
    );

    // Without the tenant's key no copy of it can be read any more.
    fs::write(folder.keys(), keys).unwrap();
    let running = folder.lake("default").await;
    assert!(read(&running, "shop").await.is_some());
    let tenant = folder.0.path().join("lake/default");
    fs::remove_dir_all(tenant.join("_vault/_keys")).unwrap();
    // Not even by a process that has read it before.
    assert!(is_damaged(&running, "shop").await);
    put(&running, "other", "new", at(1)).await.unwrap();
    let shredded = folder.lake("default").await;
    assert_eq!(read(&shredded, "other").await.as_deref(), Some("new"));
    assert!(is_damaged(&shredded, "shop").await);
    // Also after new keys were made.
    put(&shredded, "mail", "new", at(1)).await.unwrap();
    assert!(is_damaged(&shredded, "shop").await);
    assert_eq!(read(&shredded, "mail").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn vacuum_check_and_backup_know_secrets() {
    let folder = Folder::new();
    let lake = folder.lake("default").await;
    let cause = Cause::Define {
        name: "test".to_owned(),
    };
    let commit = Commit::of_names(cause, at(0), Default::default());
    let base = lake.head().await.unwrap();
    lake.commit(&base, commit).await.unwrap();
    for secret in ["shop", "mail"] {
        put(&lake, secret, VALUE, at(0)).await.unwrap();
    }
    // A writer that died left a file.
    let staged = folder.secret("default", "shop");
    let staged = staged.with_file_name(".staged-abc");
    fs::write(&staged, "x").unwrap();
    let how = Retention {
        snapshots: Duration::ZERO,
        garbage: Duration::ZERO,
        dry_run: false,
    };
    let in_a_century = at(100 * 365 * 86_400_000_000);
    lake.vacuum(how, in_a_century).await.unwrap();
    assert!(!staged.exists());
    assert_eq!(read(&lake, "shop").await.as_deref(), Some(VALUE));
    let objects = lake.check().await.unwrap().objects;
    lake.delete_secret(&name("mail")).await.unwrap();
    assert_eq!(lake.check().await.unwrap().objects, objects - 1);

    let to = folder.0.path().join("copy");
    let to = Store::at(to.to_str().unwrap()).unwrap();
    lake.copy_to(&to, None).await.unwrap();
    let copy = folder.lake_in("copy", "default").await;
    assert_eq!(read(&copy, "shop").await.as_deref(), Some(VALUE));
    assert_eq!(read(&copy, "mail").await, None);
    assert_eq!(copy.check().await.unwrap().problems, []);
}

/// Readers see one whole value or another while writers replace it.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_puts_leave_one_whole_value() {
    let folder = Folder::new();
    let values: Vec<String> = (1..=6).map(|n| n.to_string().repeat(9_000 * n)).collect();
    let mut writing = Vec::new();
    for text in values.clone() {
        let lake = folder.lake("default").await;
        writing.push(tokio::spawn(async move {
            for round in 0..5 {
                put(&lake, "shop", &text, at(round)).await.unwrap();
            }
        }));
    }
    let lake = folder.lake("default").await;
    while !writing.iter().all(|one| one.is_finished()) {
        if let Some(found) = read(&lake, "shop").await {
            assert!(values.contains(&found), "{} bytes", found.len());
        }
        tokio::task::yield_now().await;
    }
    for one in writing {
        one.await.unwrap();
    }
    let found = read(&lake, "shop").await.unwrap();
    assert!(values.contains(&found));
    assert_eq!(lake.secrets().await.unwrap().len(), 1);
}
