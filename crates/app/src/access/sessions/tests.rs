//! Sessions end with their time, their key and their caller's wish, on every server.

use rollbook_lake::Store;
use rollbook_model::{Span, Timestamp};

use crate::access::{ApiKeys, Authenticator, Bounds, Caller, Grant, IssuedKey, NewKey, Role};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

struct Fixture {
    folder: tempfile::TempDir,
    keys: ApiKeys,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = ApiKeys::new(Store::at(folder.path().to_str().unwrap()).unwrap());
        Self { folder, keys }
    }

    /// A server that starts now.
    fn server(&self) -> Authenticator {
        Authenticator::new(self.keys.clone())
    }

    async fn key(&self, expires: Option<Span>, at: Timestamp) -> IssuedKey {
        let new = NewKey {
            name: "test".to_owned(),
            role: Role::Analyst,
            rights: Vec::new(),
            tenants: vec!["a".parse().unwrap()],
            bounds: Bounds::default(),
            trial: false,
            expires,
        };
        self.keys.create(&new, &Grant::local(), at).await.unwrap()
    }

    /// The token of a new session.
    async fn session(&self, key: &IssuedKey, at: Timestamp) -> String {
        let server = self.server();
        let grant = server.authenticate(Some(&key.token), at).await.unwrap();
        server.start_session(&grant, at).await.unwrap().token
    }

    /// Whether a server that starts now accepts a session.
    async fn accepts(&self, session: &str, at: Timestamp) -> bool {
        let grant = self.server().authenticate_session(session, at).await;
        grant.is_ok_and(|grant| grant.rights == Role::Analyst.rights())
    }

    fn files(&self) -> usize {
        let folder = self.folder.path().join("_access/sessions");
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    }
}

#[tokio::test]
async fn session_has_the_rights_of_its_key_for_an_hour() {
    let (fixture, at) = (Fixture::new(), time("2026-01-01"));
    let key = fixture.key(None, at).await;
    let server = fixture.server();
    let grant = server.authenticate(Some(&key.token), at).await.unwrap();
    let session = server.start_session(&grant, at).await.unwrap();
    assert_eq!(session.ends_at, time("2026-01-01T01:00:00Z"));
    let used = server
        .authenticate_session(&session.token, at)
        .await
        .unwrap();
    assert_eq!(used.caller(), Caller::Key(&key.key.prefix));
    assert!(used.covers(&"a".parse().unwrap()) && !used.covers(&"b".parse().unwrap()));
    assert!(
        fixture
            .accepts(&session.token, time("2026-01-01T00:59:59Z"))
            .await
    );
    assert!(!fixture.accepts(&session.token, session.ends_at).await);
    // A session is not prolonged by itself.
    let refused = server.start_session(&used, at).await.unwrap_err();
    assert_eq!(refused.code().0, "unauthenticated");
    // Nor is it a key, or a key a session.
    assert!(server.authenticate(Some(&session.token), at).await.is_err());
    assert!(server.authenticate_session(&key.token, at).await.is_err());
    let last = if session.token.ends_with('0') {
        '1'
    } else {
        '0'
    };
    let wrong = format!("{}{last}", &session.token[..78]);
    let unknown = format!("rbs_aaaaaaaaaa_{}", &session.token[15..]);
    for token in [wrong.as_str(), &unknown, "", "rbs_"] {
        assert!(!fixture.accepts(token, at).await, "{token}");
    }
    assert!(!format!("{session:?}").contains(&session.token[15..]));
    let folder = fixture.folder.path().join("_access/sessions");
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains(&session.token[15..]));
    }
}

#[tokio::test]
async fn session_ends_with_its_key() {
    let (fixture, at, local) = (Fixture::new(), time("2026-01-01"), Grant::local());
    let short = fixture.key(Some("10m".parse().unwrap()), at).await;
    let session = fixture.session(&short, at).await;
    assert!(
        fixture
            .accepts(&session, time("2026-01-01T00:09:59Z"))
            .await
    );
    assert!(
        !fixture
            .accepts(&session, time("2026-01-01T00:10:00Z"))
            .await
    );

    let revoked = fixture.key(None, at).await;
    let session = fixture.session(&revoked, at).await;
    fixture
        .keys
        .revoke(&revoked.key.prefix, &local, at)
        .await
        .unwrap();
    assert!(!fixture.accepts(&session, at).await);

    // After a rotation it ends with the token that it was started with.
    let rotated = fixture.key(None, at).await;
    let session = fixture.session(&rotated, at).await;
    let overlap = "20m".parse().unwrap();
    let second = fixture.keys.rotate(
        &rotated.key.prefix,
        overlap,
        &local,
        time("2026-01-01T00:01:00Z"),
    );
    let second = second.await.unwrap();
    assert!(
        fixture
            .accepts(&session, time("2026-01-01T00:20:59Z"))
            .await
    );
    assert!(
        !fixture
            .accepts(&session, time("2026-01-01T00:21:00Z"))
            .await
    );
    let session = fixture.session(&second, time("2026-01-01T00:01:00Z")).await;
    assert!(
        fixture
            .accepts(&session, time("2026-01-01T00:21:00Z"))
            .await
    );
}

#[tokio::test]
async fn caller_ends_one_session_or_all() {
    let (fixture, at) = (Fixture::new(), time("2026-01-01"));
    let (key, other) = (fixture.key(None, at).await, fixture.key(None, at).await);
    let [one, two, three] = [
        fixture.session(&key, at).await,
        fixture.session(&key, at).await,
        fixture.session(&other, at).await,
    ];
    let server = fixture.server();
    let grant = server.authenticate_session(&one, at).await.unwrap();
    server.end_session(&grant).await.unwrap();
    // On this server at once.
    assert!(server.authenticate_session(&one, at).await.is_err());
    assert!(!fixture.accepts(&one, at).await);
    assert!(fixture.accepts(&two, at).await);
    let grant = server.authenticate(Some(&key.token), at).await.unwrap();
    server.end_session(&grant).await.unwrap();
    assert!(!fixture.accepts(&two, at).await);
    assert!(fixture.accepts(&three, at).await);
    server.end_session(&Grant::local()).await.unwrap();
    assert!(fixture.accepts(&three, at).await);
}

#[tokio::test]
async fn sessions_are_bounded_and_deleted_when_they_are_over() {
    let (fixture, at) = (Fixture::new(), time("2026-01-01"));
    let key = fixture.key(None, at).await;
    let server = fixture.server();
    let grant = server.authenticate(Some(&key.token), at).await.unwrap();
    let mut tokens = Vec::new();
    for second in 0..101 {
        let at = Timestamp::from_micros(at.micros() + second);
        tokens.push(server.start_session(&grant, at).await.unwrap().token);
    }
    assert_eq!(fixture.files(), 100);
    assert!(!fixture.accepts(&tokens[0], at).await);
    assert!(fixture.accepts(&tokens[1], at).await);
    assert!(fixture.accepts(&tokens[100], at).await);
    let later = time("2026-01-02");
    assert!(!fixture.accepts(&tokens[100], later).await);
    for _ in 0..1000 {
        if fixture.files() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("{} sessions are left", fixture.files());
}

#[tokio::test]
async fn server_that_needs_no_key_starts_no_session() {
    let (fixture, at) = (Fixture::new(), time("2026-01-01"));
    let server = fixture.server();
    let grant = server.authenticate(None, at).await.unwrap();
    let refused = server.start_session(&grant, at).await.unwrap_err();
    assert_eq!(refused.code().0, "no_login");
    // An old cookie closes nothing.
    assert!(
        server
            .authenticate_session("rbs_", at)
            .await
            .unwrap()
            .is_local()
    );
}
