//! Preview, count, list, pages and ledger agree with a refresh.

use std::collections::BTreeMap;

use rand::seq::index::sample;
use roaring::RoaringTreemap;
use rollbook_app::segments::{self, Done, Pull, Status};
use rollbook_lake::Lake;
use rollbook_model::Timestamp;
use rollbook_segments::ledger::{self, Change, Direction};
use rollbook_tests::times;

use super::key;
use super::world::World;

/// Segments that are previewed and listed in each state; `ROLLBOOK_TEST_PULLS` sets more.
const PULLED: u64 = 3;
/// Time between a refresh and the queries, in microseconds: six hours.
const LATER: i64 = 6 * 3_600_000_000;
/// Members per page.
const PAGE: usize = 17;

impl World {
    pub(super) async fn agree(&mut self, members: &[RoaringTreemap], done: &[Done], what: &str) {
        let lake = self.open().await;
        let state = lake.head().await.unwrap();
        let mut changes = BTreeMap::<_, Vec<_>>::new();
        for change in ledger::changes(&lake, &state, None).await.unwrap() {
            changes
                .entry(change.segment.clone())
                .or_default()
                .push(change);
        }
        let listed = segments::list(&self.workspace, self.as_of).await.unwrap();
        let listed = listed
            .into_iter()
            .map(|one| (one.definition.key, one.count));
        let listed: BTreeMap<_, _> = listed.collect();
        assert_eq!(members.len(), done.len(), "{what}");
        for (at, (members, done)) in members.iter().zip(done).enumerate() {
            let (key, told) = (key(at), self.told(what));
            let counts = (done.refreshed.count, listed[&key]);
            let count = members.len();
            assert_eq!(
                counts,
                (count, Some(count)),
                "{told} {key}: refresh and list"
            );
            let changes = changes.remove(&key).unwrap_or_default();
            let replayed = replayed(&lake, &changes).await;
            assert!(replayed == *members, "{told} {key}: ledger");
        }
        let all = self.definitions.len();
        let some = usize::try_from(times("ROLLBOOK_TEST_PULLS", PULLED)).unwrap();
        for at in sample(&mut self.random, all, some.min(all)) {
            let (key, told) = (key(at), self.told(what));
            let criteria = self.definitions.text(at);
            let shown = segments::preview(&self.warm, &criteria, self.as_of).await;
            let later = Timestamp::from_micros(self.as_of.micros() + LATER);
            let counted = segments::count(&self.workspace, &key, later).await.unwrap();
            if counted.freshness.status == Status::Fresh {
                let then = segments::matches(&self.workspace, &criteria, later).await;
                assert!(
                    then.unwrap() == members[at],
                    "{told} {key}: fresh at {later}"
                );
            }
            let counts = [shown.unwrap().count, counted.count];
            assert_eq!(
                counts,
                [members[at].len(); 2],
                "{told} {key}: preview and count"
            );
            let (_, whole) = segments::members(&self.workspace, &key, None)
                .await
                .unwrap();
            assert!(members[at].iter().eq(whole), "{told} {key}: members");
            let pages = self.pages(at).await;
            assert!(members[at].iter().eq(pages), "{told} {key}: pages");
        }
    }

    /// The members on all pages, in order.
    async fn pages(&self, at: usize) -> Vec<u64> {
        // Of a large segment pages are not that short, so that they are not thousands.
        let (mut pages, mut token, key) = (Vec::new(), None, key(at));
        loop {
            let pull = Pull::of_all(PAGE.max(pages.len()));
            let page =
                segments::members_page(&self.workspace, &key, token.as_deref(), &pull, self.now);
            let page = page.await.unwrap();
            pages.extend(page.members);
            token = page.next;
            if token.is_none() {
                return pages;
            }
        }
    }
}

/// The members after all of these changes.
async fn replayed(lake: &Lake, changes: &[Change]) -> RoaringTreemap {
    let mut members = RoaringTreemap::new();
    for one in changes.iter().flat_map(|change| &change.moves) {
        let persons = ledger::persons(lake, one).await.unwrap();
        match one.direction {
            Direction::Entered => members |= persons,
            Direction::Left => members -= persons,
        }
    }
    members
}
