//! Types in messages, named as users know them.

/// Arrow's names and ours. A longer name stands before one that it begins with.
const NAMES: [(&str, &str); 16] = [
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
        .fold(without_times(message), |message, (theirs, ours)| {
            message.replace(theirs, ours)
        })
}

/// The message with `time` in place of times of any unit and zone.
fn without_times(message: &str) -> String {
    const TIME: &str = "Timestamp(";
    let (mut plain, mut rest) = (String::new(), message);
    while let Some((before, after)) = rest.split_once(TIME) {
        let mut depth = 1_usize;
        let end = after.find(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        let Some(end) = end else { break };
        plain += before;
        plain += "time";
        rest = &after[end + 1..];
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::plain_types;

    #[test]
    fn type_names_are_those_of_users() {
        assert_eq!(plain_types("Utf8 = Timestamp(µs, \"UTC\")"), "text = time");
        let theirs = "Timestamp(Nanosecond, Some(\"Europe/Berlin\")) + Interval(MonthDayNano)";
        assert_eq!(plain_types(theirs), "time + interval");
        assert_eq!(
            plain_types("Decimal128(19, 4) + UInt64"),
            "decimal(19, 4) + integer"
        );
    }
}
