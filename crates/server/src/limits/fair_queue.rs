//! Permits to compute, shared fairly: the next one goes to the tenant that has the fewest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rollbook_model::TenantName;
use tokio::sync::oneshot;

/// A queue for permits. Of those that wait, the next permit goes to the tenant with the fewest permits, among these to
/// the one that got its last permit longest ago; within the tenant to the caller of whom the same is true, and of one
/// caller's requests to the one that waits longest.
#[derive(Debug)]
pub(crate) struct FairQueue(Mutex<Queued>);

#[derive(Debug)]
struct Queued {
    free: usize,
    /// Counts grants, as a clock.
    grants: u64,
    holders: HashMap<Holder, Share>,
    waiting: Vec<Waiter>,
}

/// A tenant, or a caller of a tenant.
type Holder = (TenantName, Option<Arc<str>>);

/// The permits of a holder. It is forgotten when it has none and nobody waits.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    permits: usize,
    last_grant: u64,
}

#[derive(Debug)]
struct Waiter {
    who: Claimant,
    sender: oneshot::Sender<Permit>,
}

/// Who asks for a permit.
#[derive(Debug, Clone)]
pub(crate) struct Claimant {
    /// The tenant.
    pub(crate) tenant: TenantName,
    /// The caller.
    pub(crate) caller: Arc<str>,
    /// Permits that the tenant may have.
    pub(crate) max: usize,
}

/// A permit; it is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    /// `None` once it was given back.
    of: Option<(Arc<FairQueue>, Claimant)>,
}

impl FairQueue {
    /// A queue for so many permits.
    pub(crate) fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Queued {
            free: permits,
            grants: 0,
            holders: HashMap::new(),
            waiting: Vec::new(),
        })))
    }

    /// Waits for a permit. Whoever no longer waits gets none.
    pub(crate) async fn acquire(self: &Arc<Self>, who: Claimant) -> Permit {
        let (sender, granted) = oneshot::channel();
        self.with(|queued| queued.waiting.push(Waiter { who, sender }));
        self.grant();
        granted
            .await
            .expect("the queue lives as long as its waiters")
    }

    /// Gives free permits to those that wait.
    fn grant(self: &Arc<Self>) {
        while let Some(Waiter { who, sender }) = self.with(Queued::next) {
            let of = Some((Arc::clone(self), who));
            if let Err(mut unwanted) = sender.send(Permit { of })
                && let Some((_, who)) = unwanted.of.take()
            {
                self.with(|queued| queued.give_back(&who));
            }
        }
    }

    fn with<T>(&self, edit: impl FnOnce(&mut Queued) -> T) -> T {
        edit(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((queue, who)) = self.of.take() {
            queue.with(|queued| queued.give_back(&who));
            queue.grant();
        }
    }
}

impl Claimant {
    fn holders(&self) -> [Holder; 2] {
        let caller = Some(Arc::clone(&self.caller));
        [(self.tenant.clone(), None), (self.tenant.clone(), caller)]
    }
}

impl Queued {
    /// Takes the next waiter out, and counts a permit as theirs; `None` if nobody can have one.
    fn next(&mut self) -> Option<Waiter> {
        if self.free == 0 {
            return None;
        }
        let places = self.waiting.iter().enumerate().filter_map(|(at, waiter)| {
            let [tenant, caller] = waiter.who.holders().map(|holder| self.share(&holder));
            let rank = [tenant, caller].map(|share| (share.permits, share.last_grant));
            (tenant.permits < waiter.who.max.max(1)).then_some((rank, at))
        });
        let (_, first) = places.min()?;
        let waiter = self.waiting.remove(first);
        self.free -= 1;
        self.grants += 1;
        for holder in waiter.who.holders() {
            let share = self.holders.entry(holder).or_default();
            share.permits += 1;
            share.last_grant = self.grants;
        }
        Some(waiter)
    }

    fn give_back(&mut self, who: &Claimant) {
        self.free += 1;
        for holder in who.holders() {
            if let Some(share) = self.holders.get_mut(&holder) {
                share.permits -= 1;
            }
        }
        // As long as others wait, it counts who had a permit last.
        if self.waiting.is_empty() {
            self.holders.retain(|_, share| share.permits > 0);
        }
    }

    fn share(&self, holder: &Holder) -> Share {
        self.holders.get(holder).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
