//! What callers have used of their limits: calls of the last seconds, and requests that are running.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use rollbook_model::TenantName;

use super::ServeLimits;
use super::allowance::Allowance;
use super::call_rate::CallRate;
use super::trial_rows::TrialRows;

/// Bits of an IPv6 address that are one subscriber's: the rest is theirs to choose.
const SUBSCRIBER_BITS: u32 = 64;

/// The use of the limits by all callers of a server.
pub(crate) struct CallLimits {
    keys: Option<RateOf<String>>,
    /// Calls without a valid key.
    unauthenticated: Option<RateOf<IpAddr>>,
    /// Calls of routes that need no key.
    open: Option<RateOf<IpAddr>>,
    running: Arc<RunningCalls>,
    running_of_tenants: Arc<RunningCalls>,
    /// Rows of trial keys.
    pub(crate) trial_rows: TrialRows,
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OverLimit {
    /// Too many calls in a time.
    Rate(Allowance),
    /// Too many rows of a trial key in an hour.
    Rows {
        /// The rows that were sent or asked for.
        rows: u64,
        /// What is left.
        allowance: Allowance,
    },
    /// Too many requests of one key or tenant are running.
    Running {
        /// How many may.
        max: usize,
        /// Whose they are, for people.
        of: &'static str,
    },
}

impl CallLimits {
    pub(crate) fn new(limits: &ServeLimits) -> Self {
        let rate = limits.call_rate;
        Self {
            keys: rate.map(RateOf::new),
            unauthenticated: rate.map(RateOf::new),
            open: rate.map(RateOf::new),
            running: RunningCalls::new(limits.requests_per_key, "with this key"),
            running_of_tenants: RunningCalls::new(limits.requests_per_tenant, "of this tenant"),
            trial_rows: TrialRows::new(limits.trial_rows),
        }
    }

    /// Counts a call of a key. The request counts as running until the second result is dropped.
    ///
    /// # Errors
    /// The key has made too many calls, or has too many running requests.
    pub(crate) fn begin(&self, key: &str) -> Result<(Option<Allowance>, RunningCall), OverLimit> {
        let allowance = self.keys.as_ref().map(|keys| keys.count(&key.to_owned()));
        let allowance = allowance.transpose().map_err(OverLimit::Rate)?;
        Ok((allowance, RunningCalls::begin(&self.running, key)?))
    }

    /// Counts a call as one of a tenant, until the result is dropped.
    ///
    /// # Errors
    /// The tenant has too many running requests.
    pub(crate) fn begin_of_tenant(&self, tenant: &TenantName) -> Result<RunningCall, OverLimit> {
        RunningCalls::begin(&self.running_of_tenants, tenant.as_str())
    }

    /// Counts a call without a valid key.
    ///
    /// # Errors
    /// The address has made too many of them.
    pub(crate) fn count_unauthenticated(&self, address: IpAddr) -> Result<(), OverLimit> {
        count_address(self.unauthenticated.as_ref(), address)
    }

    /// Counts a call of a route that needs no key.
    ///
    /// # Errors
    /// The address has made too many of them.
    pub(crate) fn count_open(&self, address: IpAddr) -> Result<(), OverLimit> {
        count_address(self.open.as_ref(), address)
    }

    /// Forgets callers who have not called for so long that everything is possible again.
    pub(crate) fn forget_idle(&self) {
        if let Some(keys) = &self.keys {
            keys.forget_idle();
        }
        self.trial_rows.forget_idle(Instant::now());
        for addresses in [&self.unauthenticated, &self.open].into_iter().flatten() {
            addresses.forget_idle();
        }
    }
}

fn count_address(rate: Option<&RateOf<IpAddr>>, address: IpAddr) -> Result<(), OverLimit> {
    let counted = rate.map(|rate| rate.count(&subscriber(address)));
    let counted = counted.transpose().map_err(OverLimit::Rate);
    counted.map(|_| ())
}

/// The address that stands for all that its subscriber may use.
fn subscriber(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let mask = u128::MAX << (u128::BITS - SUBSCRIBER_BITS);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

/// The calls of each caller of the last seconds.
struct RateOf<K: Clone + Eq + std::hash::Hash, C: Clock = DefaultClock> {
    rate: CallRate,
    limiter: RateLimiter<K, DashMapStateStore<K>, C, StateInformationMiddleware>,
}

impl<K: Clone + Eq + std::hash::Hash> RateOf<K> {
    fn new(rate: CallRate) -> Self {
        Self::with_clock(rate, DefaultClock::default())
    }
}

impl<K: Clone + Eq + std::hash::Hash, C: Clock> RateOf<K, C> {
    fn with_clock(rate: CallRate, clock: C) -> Self {
        let quota = Quota::with_period(rate.time_per_call());
        let quota = quota.expect("a rate has at most a million calls a second");
        let quota = quota.allow_burst(rate.calls());
        let limiter = RateLimiter::new(quota, DashMapStateStore::default(), clock);
        Self { rate, limiter }
    }

    /// Counts a call, unless it is refused.
    fn count(&self, caller: &K) -> Result<Allowance, Allowance> {
        let limit = self.rate.calls().get();
        match self.limiter.check_key(caller) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let used = limit.saturating_sub(remaining);
                Ok(Allowance {
                    limit,
                    remaining,
                    reset: self.rate.time_per_call() * used,
                })
            }
            Err(until) => Err(Allowance {
                limit,
                remaining: 0,
                reset: until.wait_time_from(self.limiter.clock().now()),
            }),
        }
    }

    fn forget_idle(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

/// How many requests of each key or tenant are running.
struct RunningCalls {
    max: usize,
    /// Whose they are, for people.
    of: &'static str,
    counts: Mutex<HashMap<String, usize>>,
}

impl RunningCalls {
    fn new(max: usize, of: &'static str) -> Arc<Self> {
        Arc::new(Self {
            max,
            of,
            counts: Mutex::default(),
        })
    }

    fn with<T>(&self, edit: impl FnOnce(&mut HashMap<String, usize>) -> T) -> T {
        edit(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One more request of a key or tenant, unless too many are running.
    fn begin(all: &Arc<Self>, key: &str) -> Result<RunningCall, OverLimit> {
        let is_free = all.with(|counts| {
            let running = counts.get(key).copied().unwrap_or_default();
            let is_free = running < all.max;
            if is_free {
                counts.insert(key.to_owned(), running + 1);
            }
            is_free
        });
        let running = is_free.then(|| RunningCall {
            all: Arc::clone(all),
            key: key.to_owned(),
        });
        let (max, of) = (all.max, all.of);
        running.ok_or(OverLimit::Running { max, of })
    }
}

/// A running request of a key.
pub(crate) struct RunningCall {
    all: Arc<RunningCalls>,
    key: String,
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.all.with(|counts| match counts.get_mut(&self.key) {
            Some(running) if *running > 1 => *running -= 1,
            _ => {
                counts.remove(&self.key);
            }
        });
    }
}

#[cfg(test)]
mod tests;
