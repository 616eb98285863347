//! Keys are accepted and refused as they were created, rotated and revoked.

use rollbook_lake::Store;
use rollbook_model::{Span, Timestamp};

use super::Authenticator;
use crate::access::grant::Login;
use crate::access::{ApiKeys, Bounds, Grant, IssuedKey, NewKey, Right, Rights, Role};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn key(role: Role) -> NewKey {
    NewKey {
        name: "test".to_owned(),
        role,
        rights: Vec::new(),
        tenants: vec!["a".parse().unwrap()],
        bounds: Bounds::default(),
        trial: false,
        expires: None,
    }
}

fn keys_in(folder: &tempfile::TempDir) -> ApiKeys {
    ApiKeys::new(Store::at(folder.path().to_str().unwrap()).unwrap())
}

/// The rights that a token has at a moment, according to a server that starts now.
async fn rights_of(keys: &ApiKeys, token: &str, at: Timestamp) -> Option<Rights> {
    let server = Authenticator::new(keys.clone());
    let grant = server.authenticate(Some(token), at);
    grant.await.ok().map(|grant| grant.rights)
}

async fn created(keys: &ApiKeys, new: &NewKey, at: Timestamp) -> IssuedKey {
    keys.create(new, &Grant::local(), at).await.unwrap()
}

#[tokio::test]
async fn without_keys_everybody_is_the_local_admin_and_never_again() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, at) = (keys_in(&folder), time("2026-01-01"));
    let server = Authenticator::new(keys.clone());
    assert!(!server.needs_key().await.unwrap());
    assert!(server.authenticate(None, at).await.unwrap().is_local());
    let issued = created(&keys, &key(Role::Admin), at).await;
    let server = Authenticator::new(keys.clone());
    assert!(server.needs_key().await.unwrap());
    let refused = server.authenticate(None, at).await.unwrap_err();
    assert_eq!(refused.code().0, "unauthenticated");
    keys.revoke(&issued.key.prefix, &Grant::local(), at)
        .await
        .unwrap();
    let server = Authenticator::new(keys.clone());
    assert!(server.needs_key().await.unwrap());
    assert!(server.authenticate(None, at).await.is_err());
    assert_eq!(rights_of(&keys, &issued.token, at).await, None);
}

#[tokio::test]
async fn a_token_is_never_answered_as_if_there_was_none() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, at) = (keys_in(&folder), time("2026-01-01"));
    let server = Authenticator::new(keys.clone());
    assert!(server.authenticate(None, at).await.unwrap().is_local());
    let wrong = server.authenticate(Some("rbk_firstadmin_0"), at).await;
    assert_eq!(wrong.unwrap_err().code().0, "unauthenticated");
    // The first key is known at once to whoever sends it.
    let issued = created(&keys, &key(Role::Viewer), at).await;
    let grant = server.authenticate(Some(&issued.token), at).await.unwrap();
    assert_eq!(grant.rights, Role::Viewer.rights());
}

#[tokio::test]
async fn a_key_that_ends_creates_none_that_lasts_longer() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, at) = (keys_in(&folder), time("2026-01-01"));
    let ending = NewKey {
        expires: Some(Span::days(2)),
        ..key(Role::Admin)
    };
    let issued = created(&keys, &ending, at).await;
    let by = Authenticator::new(keys.clone());
    let by = by.authenticate(Some(&issued.token), at).await.unwrap();
    let end_of = async |expires| {
        let new = NewKey {
            expires,
            ..key(Role::Viewer)
        };
        keys.create(&new, &by, at).await.unwrap().key.expires_at
    };
    let end = Some(time("2026-01-03"));
    assert_eq!(end_of(None).await, end);
    assert_eq!(end_of(Some(Span::days(9))).await, end);
    assert_eq!(end_of(Some(Span::days(1))).await, Some(time("2026-01-02")));
}

#[tokio::test]
async fn closed_server_refuses_everybody_without_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, at) = (keys_in(&folder), time("2026-01-01"));
    let server = Authenticator::closed(keys.clone());
    assert!(server.needs_key().await.unwrap());
    for token in [None, Some(""), Some("rbk_firstadmin_0")] {
        let refused = server.authenticate(token, at).await.unwrap_err();
        assert_eq!(refused.code().0, "unauthenticated");
    }
}

#[tokio::test]
async fn first_key_is_created_once() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, at) = (keys_in(&folder), time("2026-01-01"));
    let tenant = "a".parse().unwrap();
    // Servers that start at once.
    let created = (0..8).map(|_| keys.create_first(&tenant, at));
    let created = futures::future::try_join_all(created).await.unwrap();
    let mut created = created.into_iter().flatten();
    let first = created.next().unwrap();
    assert!(created.next().is_none());
    assert_eq!(first.key.name, "first admin");
    let rights = rights_of(&keys, &first.token, at).await;
    assert_eq!(rights, Some(Role::Admin.rights()));
    // Nor does a revoked one come back.
    keys.revoke(&first.key.prefix, &Grant::local(), at)
        .await
        .unwrap();
    assert!(keys.create_first(&tenant, at).await.unwrap().is_none());
    assert_eq!(rights_of(&keys, &first.token, at).await, None);
}

#[tokio::test]
async fn lake_with_a_key_gets_no_first_one() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, at) = (keys_in(&folder), time("2026-01-01"));
    created(&keys, &key(Role::Viewer), at).await;
    let tenant = "a".parse().unwrap();
    let first = keys.create_first(&tenant, at);
    assert!(first.await.unwrap().is_none());
}

#[tokio::test]
async fn only_the_right_token_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, at) = (keys_in(&folder), time("2026-01-01"));
    let one = created(&keys, &key(Role::Viewer), at).await;
    let other = created(&keys, &key(Role::Admin), at).await;
    assert_eq!(
        rights_of(&keys, &one.token, at).await,
        Some(Role::Viewer.rights())
    );
    assert_eq!(
        rights_of(&keys, &other.token, at).await,
        Some(Role::Admin.rights())
    );
    // The secret of one key with the prefix of another, one digit wrong, an unknown prefix.
    let mixed = format!("{}{}", &one.token[..15], &other.token[15..]);
    let last = if one.token.ends_with('0') { '1' } else { '0' };
    let wrong = format!("{}{last}", &one.token[..78]);
    let unknown = format!("rbk_aaaaaaaaaa_{}", &one.token[15..]);
    for token in [
        mixed.as_str(),
        &wrong,
        &unknown,
        "",
        "rbk_",
        &one.token[..78],
    ] {
        assert_eq!(rights_of(&keys, token, at).await, None, "{token}");
    }
}

#[tokio::test]
async fn keys_expire() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, at) = (keys_in(&folder), time("2026-01-01"));
    let new = NewKey {
        bounds: Bounds::default(),
        trial: false,
        expires: Some(Span::days(90)),
        ..key(Role::Viewer)
    };
    let issued = created(&keys, &new, at).await;
    assert_eq!(issued.key.expires_at, Some(time("2026-04-01")));
    assert!(
        rights_of(&keys, &issued.token, time("2026-03-31T23:59:59Z"))
            .await
            .is_some()
    );
    assert!(
        rights_of(&keys, &issued.token, time("2026-04-01"))
            .await
            .is_none()
    );
    let local = Grant::local();
    let rotated = keys.rotate(
        &issued.key.prefix,
        Span::days(7),
        &local,
        time("2026-05-01"),
    );
    assert_eq!(rotated.await.unwrap_err().code().0, "key_ended");
}

#[tokio::test]
async fn rotated_token_works_until_the_overlap_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, at, local) = (keys_in(&folder), time("2026-01-01"), Grant::local());
    let first = created(&keys, &key(Role::Viewer), at).await;
    let prefix = &first.key.prefix;
    let second = keys
        .rotate(prefix, Span::days(7), &local, at)
        .await
        .unwrap();
    assert_eq!(second.key.overlap_until, Some(time("2026-01-08")));
    let (within, after) = (time("2026-01-07"), time("2026-01-08"));
    assert!(rights_of(&keys, &first.token, within).await.is_some());
    assert!(rights_of(&keys, &second.token, within).await.is_some());
    assert!(rights_of(&keys, &first.token, after).await.is_none());
    assert!(rights_of(&keys, &second.token, after).await.is_some());
    // One more rotation ends the first at once.
    let third = keys
        .rotate(prefix, Span::days(7), &local, at)
        .await
        .unwrap();
    for (token, works) in [(&first, false), (&second, true), (&third, true)] {
        assert_eq!(
            rights_of(&keys, &token.token, within).await.is_some(),
            works
        );
    }
}

#[tokio::test]
async fn changes_at_once_are_all_made() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, at) = (keys_in(&folder), time("2026-01-01"));
    let issued = created(&keys, &key(Role::Viewer), at).await;
    let (prefix, local) = (issued.key.prefix, Grant::local());
    let rotations = (0..6).map(|_| keys.rotate(&prefix, Span::days(7), &local, at));
    let rotations = futures::future::join_all(rotations);
    let (rotated, revoked) = futures::join!(rotations, keys.revoke(&prefix, &local, at));
    assert!(revoked.unwrap().revoked_at.is_some());
    let listed = keys.list(&local, at).await.unwrap();
    assert_eq!(listed[0].revoked_at, Some(at));
    for one in rotated.into_iter().flatten() {
        assert_eq!(rights_of(&keys, &one.token, at).await, None);
    }
}

#[tokio::test]
async fn a_key_grants_nothing_that_its_creator_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, at) = (keys_in(&folder), time("2026-01-01"));
    let tenants = vec!["a".parse().unwrap()];
    let rights = Role::Viewer.rights().with(Rights::of(&[Right::Keys]));
    let login = Login::Key {
        prefix: "abcdefghij".parse().unwrap(),
        secret: at,
        ends_at: None,
    };
    let by = Grant::of_login(login, rights, tenants);
    assert!(keys.create(&key(Role::Viewer), &by, at).await.is_ok());
    let more = NewKey {
        rights: vec![Right::Pii],
        ..key(Role::Viewer)
    };
    let elsewhere = NewKey {
        tenants: vec!["a".parse().unwrap(), "b".parse().unwrap()],
        ..key(Role::Viewer)
    };
    let nameless = NewKey {
        name: " ".to_owned(),
        ..key(Role::Viewer)
    };
    for (new, code) in [
        (key(Role::Analyst), "forbidden"),
        (more, "forbidden"),
        (elsewhere.clone(), "unknown_tenant"),
        (nameless, "invalid_key_name"),
    ] {
        let refused = keys.create(&new, &by, at).await.unwrap_err();
        assert_eq!(refused.code().0, code, "{new:?}");
    }
    // Nor does it take a key that may do more.
    let more = created(&keys, &key(Role::Admin), at).await.key.prefix;
    let week = "7d".parse().unwrap();
    for refused in [
        keys.revoke(&more, &by, at).await.unwrap_err(),
        keys.rotate(&more, week, &by, at).await.unwrap_err(),
    ] {
        assert_eq!(refused.code().0, "forbidden");
    }
    // Keys of other tenants are as unknown as keys that do not exist.
    let of_others = created(&keys, &elsewhere, at).await;
    assert_eq!(keys.list(&by, at).await.unwrap().len(), 2);
    let revoked = keys
        .revoke(&of_others.key.prefix, &by, at)
        .await
        .unwrap_err();
    let unknown = "zzzzzzzzzz".parse().unwrap();
    let missing = keys.revoke(&unknown, &by, at).await.unwrap_err();
    assert_eq!(revoked.code(), missing.code());
}

#[tokio::test]
async fn uses_are_noted_once_a_minute_and_no_token_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, at) = (keys_in(&folder), time("2026-01-01"));
    let issued = created(&keys, &key(Role::Viewer), at).await;
    let server = Authenticator::new(keys.clone());
    let prefix = &issued.key.prefix;
    assert!(server.is_use_due(prefix));
    assert!(!server.is_use_due(prefix));
    keys.note_use(prefix, time("2026-01-02")).await.unwrap();
    let listed = keys.list(&Grant::local(), at).await.unwrap();
    assert_eq!(listed[0].last_used_at, Some(time("2026-01-02")));
    let secret = &issued.token[15..];
    let files = Store::at(folder.path().to_str().unwrap()).unwrap();
    for file in files.walk("_access").await.unwrap() {
        let bytes = files.get(&file.path).await.unwrap().unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(!text.contains(secret), "{}", file.path);
    }
    assert!(!format!("{issued:?}").contains(secret));
    assert!(!format!("{listed:?}").contains(secret));
}
