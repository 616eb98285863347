//! What the document says of a scalar is what is read: whatever fits a pattern is taken.

use regex::Regex;
use rollbook_app::segments::{Percent, Schedule, Since};
use rollbook_model::{GivenTime, ProviderName, SegmentKey, Span};

use super::{Described, Identifier};

/// Texts that fit the pattern are read; those of `others` neither fit nor, where told so, are read.
fn check<T: Described + std::str::FromStr>(fitting: &[&str], others: &[&str]) {
    let schema = serde_json::to_value(T::described().build()).unwrap();
    let pattern = Regex::new(schema["pattern"].as_str().unwrap()).unwrap();
    let most = schema["maxLength"].as_u64().unwrap();
    let example = schema["examples"][0].as_str().unwrap();
    for text in fitting.iter().chain([&example]) {
        assert!(pattern.is_match(text), "`{text}` does not fit");
        assert!(text.len() as u64 <= most, "`{text}` is too long");
        assert!(text.parse::<T>().is_ok(), "`{text}` is not read");
    }
    for text in others {
        assert!(!pattern.is_match(text), "`{text}` fits");
    }
}

#[test]
fn values_matching_the_pattern_are_accepted() {
    let long = "a".repeat(64);
    check::<SegmentKey>(
        &["a", "0", "a_-9", &long],
        &["", "A", "-a", "_a", "a b", "ä"],
    );
    check::<ProviderName>(&["shopify"], &["", "Shopify"]);
    check::<Span>(
        &["1s", "999999999s", "9999999m", "99999h", "9999d", "999w"],
        &["", "0d", "1", "d", "1.5d", "-1d", "1y", "01d"],
    );
    check::<Schedule>(
        &[
            "on_ingest",
            "manual",
            "static",
            "1 second",
            "9999 days",
            "15 minutes",
        ],
        &["", "often", "0 days", "15", "1 week"],
    );
    check::<Percent>(
        &["0", "10", "100", "100.00", "99.99", "0.5", "00.01"],
        &["", "101", "100.01", "1.234", ".5", "-1", "1e1"],
    );
    check::<Since>(
        &[
            "0",
            "12",
            "999999999999999999",
            "2026-01-31",
            "2026-01-31T10:00:00Z",
        ],
        &["", "007", "+1", "-1", "soon"],
    );
}

#[test]
fn dates_matching_the_pattern_must_exist() {
    let schema = serde_json::to_value(GivenTime::described().build()).unwrap();
    let pattern = Regex::new(schema["pattern"].as_str().unwrap()).unwrap();
    for year in [
        1000, 1600, 1700, 1900, 1996, 1999, 2000, 2023, 2024, 2100, 2400, 2800, 2999,
    ] {
        for month in 0..=13 {
            for day in 0..=32 {
                let text = format!("{year}-{month:02}-{day:02}");
                let is_day = text.parse::<GivenTime>().is_ok();
                assert_eq!(pattern.is_match(&text), is_day, "{text}");
            }
        }
    }
    let times = [
        "2025-06-01",
        "2025-06-01T00:00",
        "2025-06-01T23:59:59",
        "2025-06-01T23:59:59.123456789",
        "2025-06-01T00:00:00Z",
        "2025-06-01T00:00:00.5+14:59",
        "2999-12-31T23:59:59-14:59",
    ];
    check::<GivenTime>(
        &times,
        &[
            "",
            "yesterday",
            "2025-06-01T24:00",
            "2025-06-01T10:60",
            "20250601",
            "2025-6-1",
        ],
    );
}

#[test]
fn an_id_has_one_spelling() {
    assert_eq!("7".parse::<Identifier>().unwrap().signed(), 7);
    for text in [
        "0",
        "007",
        "+7",
        "-7",
        "",
        "7.0",
        "9223372036854775808",
        "ada",
    ] {
        assert!(text.parse::<Identifier>().is_err(), "{text}");
    }
    for json in ["7", "7.0", "70e-1"] {
        let id = serde_json::from_str::<Identifier>(json).unwrap();
        assert_eq!(id.number(), 7, "{json}");
    }
    for json in [
        "0",
        "-7",
        "7.5",
        "\"7\"",
        "9223372036854775808",
        "1e16",
        "null",
    ] {
        assert!(serde_json::from_str::<Identifier>(json).is_err(), "{json}");
    }
}
