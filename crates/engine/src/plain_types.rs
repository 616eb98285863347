//! Types in messages, named as users know them.

/// Arrow's names and ours. A longer name stands before one that it begins with.
const NAMES: [(&str, &str); 24] = [
    ("Timestamp(Nanosecond, Some(\"UTC\"))", "time"),
    ("Timestamp(Microsecond, Some(\"UTC\"))", "time"),
    ("Timestamp(ns, \"UTC\")", "time"),
    ("Timestamp(µs, \"UTC\")", "time"),
    ("Timestamp(ns)", "time"),
    ("Timestamp(µs)", "time"),
    ("Timestamp(ms)", "time"),
    ("Timestamp(s)", "time"),
    ("Interval(MonthDayNano)", "interval"),
    ("Decimal128", "decimal"),
    ("LargeUtf8", "text"),
    ("Utf8View", "text"),
    ("Utf8", "text"),
    ("Boolean", "boolean"),
    ("Float64", "float"),
    ("Float32", "float"),
    ("UInt64", "integer"),
    ("UInt32", "integer"),
    ("Int64", "integer"),
    ("Int32", "integer"),
    ("Int16", "integer"),
    ("Int8", "integer"),
    ("Date32", "date"),
    ("List(text)", "list of text"),
];

/// The message with every Arrow type in our words.
pub(crate) fn plain_types(message: &str) -> String {
    NAMES
        .iter()
        .fold(message.to_owned(), |message, (theirs, ours)| {
            message.replace(theirs, ours)
        })
}

#[cfg(test)]
mod tests {
    use super::plain_types;

    #[test]
    fn names_types_as_users_do() {
        assert_eq!(plain_types("Utf8 = Timestamp(µs, \"UTC\")"), "text = time");
        assert_eq!(
            plain_types("Decimal128(19, 4) + UInt64"),
            "decimal(19, 4) + integer"
        );
    }
}
