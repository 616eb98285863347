//! How often a caller may call.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// Calls in a time at most.
const MAX_CALLS: u32 = 1_000_000;
/// Seconds of a day.
const MAX_SECONDS: u32 = 86_400;

/// A number of calls in a number of seconds, written `CALLS/SECONDS`.
///
/// That many calls may be made at once. Each of them comes back on its own: after `SECONDS` all of them, after a tenth
/// of that a tenth of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallRate {
    calls: NonZeroU32,
    seconds: u32,
}

/// A text that is no rate of calls.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not CALLS/SECONDS: 100/10 allows 100 calls in 10 seconds; up to {MAX_CALLS} calls and {MAX_SECONDS} seconds are possible"
)]
pub struct InvalidCallRate(String);

impl CallRate {
    /// The number of calls.
    pub fn calls(self) -> NonZeroU32 {
        self.calls
    }

    /// The time after which one more call is possible.
    pub(super) fn time_per_call(self) -> Duration {
        Duration::from_secs(self.seconds.into()) / self.calls.get()
    }
}

impl Default for CallRate {
    fn default() -> Self {
        let default = rollbook_model::config::SERVE_RATE_LIMIT.parse();
        default.expect("the default is a rate of calls")
    }
}

impl FromStr for CallRate {
    type Err = InvalidCallRate;

    fn from_str(text: &str) -> Result<Self, InvalidCallRate> {
        let number = |text: &str, max: u32| {
            let number = text.trim().parse::<u32>().ok();
            number.filter(|number| (1..=max).contains(number))
        };
        let parsed = text.split_once('/').and_then(|(calls, seconds)| {
            let calls = NonZeroU32::new(number(calls, MAX_CALLS)?)?;
            let seconds = number(seconds, MAX_SECONDS)?;
            Some(Self { calls, seconds })
        });
        parsed.ok_or_else(|| InvalidCallRate(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::CallRate;

    #[test]
    fn rates_are_calls_in_seconds() {
        let rate: CallRate = "100/10".parse().unwrap();
        assert_eq!(rate, CallRate::default());
        assert_eq!(rate.calls().get(), 100);
        assert_eq!(rate.time_per_call(), Duration::from_millis(100));
        for text in ["1/86400", "1000000/1", " 5 / 7 "] {
            assert!(text.parse::<CallRate>().is_ok(), "{text}");
        }
        for text in [
            "",
            "0",
            "100",
            "0/1",
            "1/0",
            "-1/1",
            "1/1/1",
            "1.5/1",
            "1000001/1",
            "1/86401",
            "a/b",
        ] {
            assert!(text.parse::<CallRate>().is_err(), "{text}");
        }
    }
}
