//! The report: credits by model and channel, with totals.

use std::fmt;
use std::iter::Sum;

use rollbook_model::Timestamp;
use serde::{Serialize, Serializer};

use crate::model::{Model, Question};

/// Channel name of conversions without a touch in the lookback window.
pub const UNATTRIBUTED: &str = "unattributed";

/// An exact amount with four decimals: of money, or of conversions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Amount(i64);

impl Amount {
    /// An amount of `units` ten-thousandths.
    pub fn from_units(units: i64) -> Self {
        Self(units)
    }

    /// The amount in ten-thousandths.
    pub fn units(self) -> i64 {
        self.0
    }

    /// This amount as a fraction of `whole`, to six decimals; 0 if `whole` is 0.
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

/// The credit of one channel by one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CreditRow {
    /// The model.
    pub model: Model,
    /// The channel; `unattributed` for conversions without a touch.
    pub channel: String,
    /// Conversions, divided like their values.
    pub conversions: Amount,
    /// Value in the tenant's currency.
    pub value: Amount,
    /// Share of the booked revenue, 0 to 1, to six decimals.
    pub share: f64,
}

/// Credits with totals. For every model, the rows add up to `booked` and `conversions`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The options of the run.
    #[serde(flatten)]
    pub question: Question,
    /// The moment it was computed for.
    pub as_of: Timestamp,
    /// The tenant's currency.
    pub currency: Option<String>,
    /// Booked revenue, before refunds.
    pub booked: Amount,
    /// Refunds of it until `as_of`, which do not reduce the credits.
    pub refunded: Amount,
    /// Number of conversions.
    pub conversions: u64,
    /// Conversions left out because there is no exchange rate for their currency and day.
    pub unconverted: u64,
    /// Amounts converted by the exchange rate of an earlier day.
    pub earlier_rate: u64,
    /// Conversions that are linked to no person; they are unattributed.
    pub not_linked: u64,
    /// By model in the requested order, then highest value first, `unattributed` last.
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
