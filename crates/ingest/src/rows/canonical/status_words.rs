//! Status words: converted to a normal form; words that no built-in query knows are reported.

use arrow::array::{ArrayRef, AsArray, StringArray};

/// The words of one column.
pub(crate) struct Vocabulary {
    table: &'static str,
    column: &'static str,
    /// In the form that our queries compare.
    known: &'static [&'static str],
    /// Whether a word that is not known stays as the source writes it.
    keeps_unknown: bool,
    /// What a word that is not known counts as; `None` where no query of ours asks.
    pub(crate) otherwise: Option<&'static str>,
}

const ORDER: &[&str] = &[
    // These are revenue, as the view `_orders` says.
    "paid",
    "partially_paid",
    "fulfilled",
    "completed",
    "partially_refunded",
    "refunded",
    // These are not.
    "pending",
    "unpaid",
    "authorized",
    "open",
    "draft",
    "on_hold",
    "cancelled",
    "voided",
    "expired",
    "failed",
    "unavailable",
    "rejected",
    "returned",
    "returning",
    "lost",
    "damaged",
];

/// All columns whose words have one form. The status of a shipment is in its source's own words.
const WORDS: [Vocabulary; 10] = [
    words("orders", "status", ORDER, Some("nothing")),
    words("order_status_history", "from_status", ORDER, None),
    words("order_status_history", "to_status", ORDER, None),
    words("carts", "status", &["open", "abandoned", "recovered"], None),
    words(
        "subscriptions",
        "status",
        &["active", "paused", "cancelled", "expired", "past_due"],
        None,
    ),
    words("deals", "status", &["open", "won", "lost"], Some("nothing")),
    words(
        "tickets",
        "status",
        &[
            "open",
            "new",
            "pending",
            "on_hold",
            "hold",
            "waiting",
            "in_progress",
            "solved",
            "closed",
        ],
        Some("open"),
    ),
    words("campaigns", "status", &["draft", "active", "ended"], None),
    words(
        "activities",
        "direction",
        &["inbound", "outbound"],
        Some("inbound"),
    ),
    Vocabulary {
        keeps_unknown: true,
        ..words(
            "persons",
            "lifecycle_stage",
            &["visitor", "lead", "contact", "customer", "evangelist"],
            None,
        )
    },
];

const fn words(
    table: &'static str,
    column: &'static str,
    known: &'static [&'static str],
    otherwise: Option<&'static str>,
) -> Vocabulary {
    Vocabulary {
        table,
        column,
        known,
        keeps_unknown: false,
        otherwise,
    }
}

/// The known status words of a column, if it has any.
pub(crate) fn of(table: &str, column: &str) -> Option<&'static Vocabulary> {
    WORDS
        .iter()
        .find(|words| words.column == column && words.table == table)
}

/// The status column of a table whose unknown words are counted.
pub(crate) fn counted(table: &str) -> Option<(&'static str, &'static Vocabulary)> {
    let words = WORDS
        .iter()
        .find(|words| words.table == table && words.otherwise.is_some())?;
    Some((words.column, words))
}

impl Vocabulary {
    /// Whether built-in queries use a word, given in its normal form.
    pub(crate) fn knows(&self, word: &str) -> bool {
        self.known.contains(&word)
    }

    /// The column with each word in its normal form.
    pub(crate) fn normalised(&self, column: &ArrayRef) -> ArrayRef {
        let texts = column.as_string::<i32>();
        if texts.iter().flatten().all(|word| self.knows(word)) {
            return ArrayRef::clone(column);
        }
        let normal = texts.iter().map(|word| word.map(|word| self.normal(word)));
        std::sync::Arc::new(normal.collect::<StringArray>())
    }

    /// Lower case with `_` between words. `PartiallyPaid` and `partially-paid` are both
    /// `partially_paid`, since that is known.
    fn normal(&self, word: &str) -> String {
        let lower = word.trim().to_lowercase();
        let parts = lower.split(|c: char| c.is_whitespace() || c == '-' || c == '_');
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        let bare = parts.concat();
        let bare = match bare.as_str() {
            "canceled" => "cancelled",
            bare => bare,
        };
        let known = self
            .known
            .iter()
            .find(|known| known.replace('_', "") == bare);
        match known {
            Some(known) => (*known).to_owned(),
            None if self.keeps_unknown => word.to_owned(),
            None => parts.join("_"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, StringArray};
    use rollbook_model::{ColumnType, tables};

    use super::{WORDS, counted, of};

    fn check(table: &str, column: &str, word: &str, expected: &str) {
        let given: ArrayRef = Arc::new(StringArray::from(vec![Some(word), None]));
        let found = of(table, column).unwrap().normalised(&given);
        let found: Vec<_> = found.as_string::<i32>().iter().collect();
        assert_eq!(found, [Some(expected), None], "{word}");
    }

    #[test]
    fn status_words_have_one_form() {
        for word in ["PAID", "Paid", "paid", "pAiD"] {
            check("orders", "status", word, "paid");
        }
        for word in [
            "PARTIALLY_REFUNDED",
            "Partially refunded",
            "partially-refunded",
            "PartiallyRefunded",
            "partially  _ refunded",
        ] {
            check("orders", "status", word, "partially_refunded");
            check(
                "order_status_history",
                "to_status",
                word,
                "partially_refunded",
            );
        }
        check("orders", "status", "Canceled", "cancelled");
        check("orders", "status", "Awaiting Pick-up", "awaiting_pick_up");
        check("deals", "status", "WON", "won");
        check("tickets", "status", "Closed", "closed");
        check("subscriptions", "status", "Past Due", "past_due");
        check("persons", "lifecycle_stage", "Evangelist", "evangelist");
        check("persons", "lifecycle_stage", "Email Opened", "Email Opened");
        check("activities", "direction", "OUTBOUND", "outbound");
        assert!(of("shipments", "status").is_none() && of("orders", "currency").is_none());
    }

    #[test]
    fn unknown_status_words_are_reported_where_queries_use_them() {
        for (table, known, unknown) in [
            ("orders", "pending", "shipped"),
            ("deals", "lost", "closed_won"),
            ("tickets", "on_hold", "resolved"),
            ("activities", "inbound", "sent"),
        ] {
            let (_, words) = counted(table).unwrap();
            assert!(words.knows(known) && !words.knows(unknown), "{table}");
        }
        assert!(counted("shipments").is_none() && counted("carts").is_none());
    }

    #[test]
    fn every_status_in_a_query_is_a_known_status() {
        let named = rollbook_queries::views::VIEWS
            .iter()
            .find(|(name, _)| *name == "_orders");
        let sql = named.unwrap().1;
        let start = sql.find("status in (").unwrap();
        let list = &sql[start..start + sql[start..].find(')').unwrap()];
        let compared: Vec<_> = list.split('\'').skip(1).step_by(2).collect();
        assert!(compared.contains(&"paid"), "{compared:?}");
        let words = of("orders", "status").unwrap();
        for word in compared {
            assert!(words.knows(word), "{word}");
        }
    }

    #[test]
    fn status_words_belong_to_existing_columns() {
        for words in &WORDS {
            let column = tables::table(words.table).unwrap().column(words.column);
            assert_eq!(
                column.unwrap().ty,
                ColumnType::Text,
                "{}.{}",
                words.table,
                words.column
            );
        }
    }
}
