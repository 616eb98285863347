//! Limits hold for each caller apart, and what was used comes back with time.

use std::net::IpAddr;
use std::time::Duration;

use governor::clock::FakeRelativeClock;

use super::{Allowance, CallLimits, OverLimit, RateOf, subscriber};
use crate::limits::{CallRate, ServeLimits};

fn rate(text: &str) -> CallRate {
    text.parse().unwrap()
}

fn limits(call_rate: Option<CallRate>, requests_per_key: usize) -> CallLimits {
    CallLimits::new(&ServeLimits {
        call_rate,
        requests_per_key,
        ..ServeLimits::default()
    })
}

#[test]
fn calls_come_back_with_time() {
    let clock = FakeRelativeClock::default();
    let calls = RateOf::with_clock(rate("4/2"), clock.clone());
    let allowance = |remaining, milliseconds| Allowance {
        limit: 4,
        remaining,
        reset: Duration::from_millis(milliseconds),
    };
    for (remaining, reset) in [(3, 500), (2, 1000), (1, 1500), (0, 2000)] {
        assert_eq!(calls.count(&"a"), Ok(allowance(remaining, reset)));
    }
    assert_eq!(calls.count(&"a"), Err(allowance(0, 500)));
    clock.advance(Duration::from_millis(400));
    assert_eq!(calls.count(&"a"), Err(allowance(0, 100)));
    // Another caller is not affected.
    assert_eq!(calls.count(&"b"), Ok(allowance(3, 500)));
    clock.advance(Duration::from_millis(100));
    assert_eq!(calls.count(&"a"), Ok(allowance(0, 2000)));
    assert_eq!(calls.count(&"a"), Err(allowance(0, 500)));
    clock.advance(Duration::from_secs(2));
    assert_eq!(calls.count(&"a"), Ok(allowance(3, 500)));
}

#[test]
fn idle_callers_are_forgotten() {
    let clock = FakeRelativeClock::default();
    let calls = RateOf::with_clock(rate("10/1"), clock.clone());
    for caller in 0..1000 {
        assert!(calls.count(&caller).is_ok());
    }
    clock.advance(Duration::from_millis(50));
    calls.forget_idle();
    assert_eq!(calls.limiter.len(), 1000);
    for _ in 0..5 {
        assert!(calls.count(&7).is_ok());
    }
    clock.advance(Duration::from_millis(200));
    calls.forget_idle();
    assert_eq!(calls.limiter.len(), 1);
}

#[test]
fn running_requests_of_a_key_are_limited() {
    let limits = limits(None, 2);
    let begin = |key: &str| limits.begin(key).map(|(_, running)| running);
    let first = begin("a").unwrap();
    let second = begin("a").unwrap();
    assert_eq!(
        begin("a").err(),
        Some(OverLimit::Running {
            max: 2,
            of: "with this key"
        })
    );
    let other = begin("b").unwrap();
    drop(first);
    let third = begin("a").unwrap();
    drop((second, third, other));
    assert!(limits.running.with(|counts| counts.is_empty()));
}

#[test]
fn kinds_of_calls_are_counted_apart() {
    let limits = limits(Some(rate("1/60")), 10);
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    assert!(limits.begin("a").is_ok());
    assert!(limits.count_unauthenticated(address).is_ok());
    assert!(limits.count_open(address).is_ok());
    assert!(matches!(limits.begin("a"), Err(OverLimit::Rate(_))));
    assert!(limits.count_unauthenticated(address).is_err());
    assert!(limits.count_open(address).is_err());
    assert!(limits.count_open("192.0.2.2".parse().unwrap()).is_ok());
}

#[test]
fn addresses_of_one_subscriber_are_one() {
    let check = |address: &str, expected: &str| {
        let address = subscriber(address.parse().unwrap());
        assert_eq!(address, expected.parse::<IpAddr>().unwrap());
    };
    check("192.0.2.1", "192.0.2.1");
    check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
    check("2001:db8:1:2:ffff::1", "2001:db8:1:2::");
    check("2001:db8:1:3::", "2001:db8:1:3::");
}
