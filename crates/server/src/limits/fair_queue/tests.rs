//! Tenants share permits, whatever one of them asks for.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::{Claimant, FairQueue, Permit};

fn claim(tenant: &str, caller: &str, max: usize) -> Claimant {
    Claimant {
        tenant: tenant.parse().unwrap(),
        caller: caller.into(),
        max,
    }
}

/// Lets the other tasks go as far as they can.
async fn settle() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

/// Asks for a permit, which is sent on with its name once it is there.
async fn ask(
    queue: &Arc<FairQueue>,
    granted: &tokio::sync::mpsc::UnboundedSender<(String, Permit)>,
    who: Claimant,
) -> JoinHandle<()> {
    let (queue, granted) = (Arc::clone(queue), granted.clone());
    let name = format!("{}/{}", who.tenant, who.caller);
    let asking = tokio::spawn(async move {
        let permit = queue.acquire(who).await;
        let _ = granted.send((name, permit));
    });
    // It waits, or has its permit, before the next one asks.
    settle().await;
    asking
}

#[tokio::test]
async fn the_next_permit_goes_to_whoever_has_the_fewest() {
    let queue = FairQueue::new(2);
    let (sender, mut granted) = tokio::sync::mpsc::unbounded_channel();
    for who in [
        claim("a", "k1", 9),
        claim("a", "k1", 9),
        claim("a", "k1", 9),
        claim("a", "k2", 9),
        claim("b", "k3", 9),
        claim("b", "k3", 9),
        claim("c", "k4", 9),
    ] {
        ask(&queue, &sender, who).await;
    }
    let mut order = Vec::new();
    let mut held = std::collections::VecDeque::new();
    while order.len() < 7 {
        let (name, permit) = granted.recv().await.unwrap();
        order.push(name);
        held.push_back(permit);
        if held.len() == 2 {
            held.pop_front();
        }
        settle().await;
    }
    // The first two asked alone; then tenants take turns, and callers within them.
    assert_eq!(
        order,
        ["a/k1", "a/k1", "b/k3", "c/k4", "a/k2", "b/k3", "a/k1"]
    );
}

#[tokio::test]
async fn a_tenant_leaves_permits_to_others() {
    let queue = FairQueue::new(4);
    let (sender, mut granted) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..50 {
        ask(&queue, &sender, claim("a", "k", 2)).await;
    }
    let first = granted.recv().await.unwrap();
    let _second = granted.recv().await.unwrap();
    assert!(granted.try_recv().is_err());
    // Another one does not wait at all.
    ask(&queue, &sender, claim("b", "k", 2)).await;
    assert_eq!(granted.try_recv().unwrap().0, "b/k");
    drop(first);
    settle().await;
    assert_eq!(granted.try_recv().unwrap().0, "a/k");
}

#[tokio::test]
async fn permits_of_those_who_left_go_to_others() {
    let queue = FairQueue::new(1);
    let (sender, mut granted) = tokio::sync::mpsc::unbounded_channel();
    ask(&queue, &sender, claim("a", "k", 1)).await;
    let held = granted.recv().await.unwrap();
    for _ in 0..1000 {
        ask(&queue, &sender, claim("b", "k", 1)).await.abort();
    }
    ask(&queue, &sender, claim("c", "k", 1)).await;
    settle().await;
    drop(held);
    let (name, last) = granted.recv().await.unwrap();
    assert_eq!(name, "c/k");
    drop(last);
    let idle = queue.with(|queued| (queued.free, queued.holders.len(), queued.waiting.len()));
    assert_eq!(idle, (1, 0, 0));
}
