//! The keys of an issuer as a server knows them: fetched when they are due, by one request at a time.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::key_set::KeySet;
use super::source::{Fetched, JwksError, JwksSource};
use crate::TokenFault;

/// While their source fails, known keys are used this much longer than they would be otherwise.
const HOLDOVER: Duration = Duration::from_secs(3600);

/// The keys of an issuer.
#[derive(Debug, Clone)]
pub(super) struct JwksCache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: JwksSource,
    /// Told of every failure.
    report: fn(&JwksError),
    state: RwLock<State>,
    fetching: tokio::sync::Mutex<()>,
}

/// What is known, and since when.
#[derive(Debug, Default, Clone)]
struct State {
    known: Option<Known>,
    /// When they were last asked for, with or without success.
    tried_at: Option<Instant>,
    /// Whether that failed.
    is_failing: bool,
}

#[derive(Debug, Clone)]
struct Known {
    keys: Arc<KeySet>,
    fetched_at: Instant,
    /// How long they are used without looking again.
    age: Duration,
}

impl State {
    /// The keys, unless they are too old to be believed.
    fn keys(&self, now: Instant) -> Option<&Arc<KeySet>> {
        let known = self.known.as_ref()?;
        let is_believed = now < known.fetched_at + known.age + HOLDOVER;
        is_believed.then_some(&known.keys)
    }

    /// Whether to look for newer keys, or for one of this name.
    fn should_fetch(&self, id: Option<&str>, pause: Duration, now: Instant) -> bool {
        let known = self.known.as_ref();
        let is_due = known.is_none_or(|known| now >= known.fetched_at + known.age);
        let was_tried = self.tried_at.is_some_and(|at| now < at + pause);
        (is_due || !self.has_key(id, now)) && !was_tried
    }

    fn has_key(&self, id: Option<&str>, now: Instant) -> bool {
        self.keys(now).is_some_and(|keys| keys.find(id).is_ok())
    }
}

impl JwksCache {
    /// A cache that knows no keys yet.
    pub(super) fn new(source: JwksSource, report: fn(&JwksError)) -> Self {
        Self(Arc::new(Shared {
            source,
            report,
            state: RwLock::default(),
            fetching: tokio::sync::Mutex::default(),
        }))
    }

    /// The keys, with the one of this name if the issuer has it. Takes at most the time limit of one fetch.
    pub(super) async fn keys_with(&self, id: Option<&str>) -> Result<Arc<KeySet>, TokenFault> {
        let (state, now) = (self.0.state(), Instant::now());
        if state.should_fetch(id, self.0.source.pause(), now) {
            // While the source fails, callers with a known key do not wait for it.
            let waits = !(state.is_failing && state.has_key(id, now));
            if waits || self.0.fetching.try_lock().is_ok() {
                let fetch = self.start_fetch(&state);
                if waits {
                    fetch.await;
                }
            }
        }
        let keys = self.0.state().keys(Instant::now()).cloned();
        keys.ok_or(TokenFault::NoKeys)
    }

    /// Starts a fetch, unless another request has made one since `state` was read. It goes on if the caller
    /// disconnects: others may be waiting for it.
    fn start_fetch(&self, state: &State) -> impl Future<Output = ()> + use<> {
        let (shared, seen) = (Arc::clone(&self.0), state.tried_at);
        let fetch = tokio::spawn(async move { shared.fetch_unless_tried(seen).await });
        // It fails when the server stops.
        async move { drop(fetch.await) }
    }
}

impl Shared {
    fn state(&self) -> State {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }

    fn edit<T>(&self, edit: impl FnOnce(&mut State) -> T) -> T {
        edit(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fetches the keys, unless another request has tried since the one at `seen`.
    async fn fetch_unless_tried(&self, seen: Option<Instant>) {
        let _fetching = self.fetching.lock().await;
        if self.state().tried_at == seen
            && let Err(error) = self.fetch().await
        {
            (self.report)(&error);
        }
    }

    async fn fetch(&self) -> Result<(), JwksError> {
        let fetched = self.source.fetch().await;
        let now = Instant::now();
        self.edit(|state| {
            state.tried_at = Some(now);
            state.is_failing = fetched.is_err();
            let Fetched { keys, age } = fetched?;
            state.known = Some(Known {
                keys: Arc::new(keys),
                fetched_at: now,
                age,
            });
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::{HOLDOVER, KeySet, Known, State};

    const AGE: Duration = Duration::from_secs(300);
    const PAUSE: Duration = Duration::from_secs(30);

    /// Keys `a` and `b`, fetched at a moment.
    fn fetched(at: Instant) -> State {
        let x = URL_SAFE_NO_PAD.encode([7; 32]);
        let key = |id: &str| json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": x});
        let set = json!({"keys": [key("a"), key("b")]}).to_string();
        State {
            known: Some(Known {
                keys: Arc::new(KeySet::parse(set.as_bytes()).unwrap()),
                fetched_at: at,
                age: AGE,
            }),
            tried_at: Some(at),
            is_failing: false,
        }
    }

    #[test]
    fn keys_are_fetched_when_they_are_old_or_lack_one() {
        let at = Instant::now();
        let state = fetched(at);
        let check = |id: Option<&str>, after: Duration, expected: bool| {
            let should = state.should_fetch(id, PAUSE, at + after);
            assert_eq!(should, expected, "{id:?} after {after:?}");
        };
        let second = Duration::from_secs(1);
        for id in ["a", "b"] {
            check(Some(id), Duration::ZERO, false);
            check(Some(id), AGE - second, false);
            check(Some(id), AGE, true);
        }
        for id in [Some("c"), Some(""), None] {
            check(id, PAUSE - second, false);
            check(id, PAUSE, true);
        }
        assert!(State::default().should_fetch(Some("a"), PAUSE, at));
    }

    #[test]
    fn a_source_that_fails_is_asked_rarely_and_its_keys_are_used_for_an_hour() {
        let at = Instant::now();
        let failed_at = at + AGE;
        let state = State {
            tried_at: Some(failed_at),
            is_failing: true,
            ..fetched(at)
        };
        let second = Duration::from_secs(1);
        let should = |now: Instant| state.should_fetch(Some("a"), PAUSE, now);
        assert!(!should(failed_at + PAUSE - second));
        assert!(should(failed_at + PAUSE));
        let last = at + AGE + HOLDOVER - second;
        assert!(state.has_key(Some("a"), last) && state.keys(last).is_some());
        assert!(!state.has_key(Some("a"), last + second) && state.keys(last + second).is_none());
        // Never fetched.
        let state = State {
            known: None,
            ..state
        };
        assert!(state.keys(failed_at).is_none());
        assert!(!state.should_fetch(Some("a"), PAUSE, failed_at + second));
    }
}
