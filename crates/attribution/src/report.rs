//! The answer: credits by model and channel, and what they sum to.

use std::fmt;
use std::iter::Sum;

use rollbook_model::Timestamp;
use serde::{Serialize, Serializer};

use crate::model::{Model, Question};

/// The row of conversions without a touch within the lookback.
pub const UNATTRIBUTED: &str = "unattributed";

/// An exact amount with four decimals: of money, or of conversions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Amount(i64);

impl Amount {
    /// From ten-thousandths.
    pub fn from_units(units: i64) -> Self {
        Self(units)
    }

    /// Ten-thousandths.
    pub fn units(self) -> i64 {
        self.0
    }

    /// The part of `whole` that this is; 0 of nothing.
    pub(crate) fn share_of(self, whole: Self) -> f64 {
        if whole.0 == 0 {
            return 0.0;
        }
        let share = self.0 as f64 / whole.0 as f64;
        (share * 1e6).round() / 1e6
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        Self(amounts.map(|amount| amount.0).sum())
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let units = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:04}", units / 10_000, units % 10_000)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What one channel is credited with by one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CreditRow {
    /// The model.
    pub model: Model,
    /// The channel; `unattributed` for conversions without a touch.
    pub channel: String,
    /// Conversions, shared like their values.
    pub conversions: Amount,
    /// Value in the tenant's currency.
    pub value: Amount,
    /// The part of all that was booked, 0 to 1, to six decimals.
    pub share: f64,
}

/// Credits, and what they rest on. For every model the rows sum to `booked` and `conversions`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What was asked.
    #[serde(flatten)]
    pub question: Question,
    /// The moment it was computed for.
    pub as_of: Timestamp,
    /// The tenant's currency.
    pub currency: Option<String>,
    /// What was booked, before refunds.
    pub booked: Amount,
    /// What was given back of it until `as_of`; credits are not lowered by it.
    pub refunded: Amount,
    /// Conversions booked.
    pub conversions: u64,
    /// Conversions left out, because there is no rate of their currency for their day.
    pub unconverted: u64,
    /// Amounts converted by the rate of an earlier day, since their own has none.
    pub earlier_rate: u64,
    /// Conversions of nobody that is known; they are unattributed.
    pub not_linked: u64,
    /// By model in the order asked, then by value from the highest; `unattributed` last.
    pub rows: Vec<CreditRow>,
}

#[cfg(test)]
mod tests {
    use super::Amount;

    #[test]
    fn amounts_show_four_decimals() {
        for (units, shown) in [
            (0, "0.0000"),
            (1, "0.0001"),
            (-12_345, "-1.2345"),
            (1_200_000, "120.0000"),
        ] {
            assert_eq!(Amount::from_units(units).to_string(), shown);
        }
    }
}
