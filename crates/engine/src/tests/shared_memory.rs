//! Sessions and caches that share the memory of a process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use rollbook_model::config::Limits;
use rollbook_model::memory::{MemoryBudget, MemoryUse};
use serde_json::json;

use super::fixture::{Fixture, lines};
use crate::{EngineError, PeopleCache, Rows, Session};

const PERSONS: usize = 20_000;

/// Its join holds a table of one side while its rows are read.
const HOLDS_MEMORY: &str = "select a.x from generate_series(1, 200000) a (x) \
                            join generate_series(1, 200000) b (y) on a.x = b.y";

async fn session(budget: MemoryBudget) -> Session {
    let mut fixture = Fixture::with_persons();
    fixture.limits.shared = Some(budget);
    fixture.session().await
}

/// Runs the query until its first rows.
async fn begin(session: &Session) -> Result<Rows, EngineError> {
    let mut rows = session.stream(HOLDS_MEMORY).await?;
    rows.next_batch().await?;
    Ok(rows)
}

#[tokio::test]
async fn sessions_share_memory() {
    let large = MemoryBudget::new(1 << 30);
    let rows = begin(&session(large).await).await.unwrap();
    let needed = large.reserved_for(MemoryUse::Queries);
    assert!(needed > 1 << 20, "{needed}");
    drop(rows);
    let budget = MemoryBudget::new(needed * 3 / 2);
    let (one, other) = (session(budget).await, session(budget).await);
    let rows = begin(&one).await.unwrap();
    let error = begin(&other).await.unwrap_err();
    assert!(matches!(error, EngineError::MemoryInUse), "{error}");
    // Once the first one ends, the other one gets what it needs.
    drop(rows);
    let mut tries = 0;
    while let Err(error) = begin(&other).await {
        assert!(tries < 100, "{error}");
        tries += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop((one, other));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(budget.reserved(), 0);
}

#[tokio::test]
async fn query_alone_fails_by_its_own_limit() {
    let mut fixture = Fixture::with_persons();
    fixture.limits = Limits {
        memory: 1 << 20,
        shared: Some(MemoryBudget::new(1 << 30)),
        ..Limits::default()
    };
    let session = fixture.session().await;
    let error = begin(&session).await.unwrap_err();
    assert!(
        matches!(error, EngineError::MemoryExhausted { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn cache_gives_way_to_queries() {
    let budget = MemoryBudget::new(1 << 30);
    let mut fixture = Fixture::new();
    fixture.limits.shared = Some(budget);
    for person in 1..=PERSONS {
        let country = ["DE", "US"][person % 2];
        let row = json!({ "person_id": person, "country": country });
        fixture = fixture.row("persons", row);
    }
    let session = fixture.session().await;
    let most = 64 << 20;
    let cache = PeopleCache::new(&session, most, Arc::default(), Duration::ZERO).into_shared();
    let session = session.with_cache(Some(Arc::clone(&cache)));
    let germans = async || {
        let condition = session.condition("country = 'DE'").unwrap();
        let rows = session.people_matching(vec![condition], BTreeMap::new());
        let (mut rows, mut count) = (rows.await.unwrap(), 0);
        while let Some(batch) = rows.next_batch().await.unwrap() {
            count += batch.column(1).as_boolean().true_count();
        }
        count
    };
    assert_eq!(germans().await, PERSONS / 2);
    let cached = cache.bytes().await;
    assert!(cached > 100_000, "{cached}");
    assert_eq!(budget.reserved_for(MemoryUse::Caches), cached);
    // Nothing is left beside the cache.
    let others = budget.limit() - cached;
    budget.grow(MemoryUse::Answers, others);
    let counted = "select x % 3 as k, count(*) from generate_series(1, 999) a (x) group by k";
    assert_eq!(lines(&session, counted).await.len(), 3);
    assert_eq!(cache.bytes().await, 0);
    assert_eq!(budget.reserved_for(MemoryUse::Caches), 0);
    budget.shrink(MemoryUse::Answers, others);
    // It stays empty for a while, and the same is answered without it.
    assert_eq!(germans().await, PERSONS / 2);
    assert_eq!(cache.bytes().await, 0);
}

#[tokio::test]
async fn nothing_is_cached_that_does_not_fit() {
    let budget = MemoryBudget::new(1 << 30);
    let session = session(budget).await;
    let cache = PeopleCache::new(&session, 1 << 20, Arc::default(), Duration::ZERO).into_shared();
    let session = session.with_cache(Some(Arc::clone(&cache)));
    let condition = || session.condition("country = 'DE'").unwrap();
    budget.grow(MemoryUse::Answers, budget.limit());
    let rows = session.people_matching(vec![condition()], BTreeMap::new());
    let answered = rows.await;
    drop(answered);
    assert_eq!(cache.bytes().await, 0);
    assert_eq!(budget.reserved_for(MemoryUse::Caches), 0);
}
