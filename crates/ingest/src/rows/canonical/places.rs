//! Codes of countries and regions, and ids without what spreadsheets and floats added.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use rollbook_identity::normalise::place;

use crate::rows::value_warnings::{ValueWarningKind, ValueWarnings};

/// Digits of a whole number that a float holds for sure.
const EXACT: usize = 15;

/// Codes of countries; an unknown word is unchanged.
pub(super) fn countries(values: &ArrayRef, odd: &mut ValueWarnings) -> ArrayRef {
    let values = values.as_string::<i32>();
    let mut last: Option<(&str, Option<&str>)> = None;
    let mut codes = StringBuilder::with_capacity(values.len(), values.len() * 2);
    for value in values {
        let Some(value) = value else {
            codes.append_null();
            continue;
        };
        let code = match last {
            Some((known, code)) if known == value => code,
            _ => place::country(value),
        };
        last = Some((value, code));
        if code.is_none() {
            odd.note("country", ValueWarningKind::UnknownCountry, value);
        }
        codes.append_value(code.unwrap_or(value));
    }
    Arc::new(codes.finish())
}

/// Codes of regions, given the codes of their countries; an unknown word is unchanged.
pub(super) fn regions(
    values: &ArrayRef,
    countries: &ArrayRef,
    odd: &mut ValueWarnings,
) -> ArrayRef {
    let (values, countries) = (values.as_string::<i32>(), countries.as_string::<i32>());
    let mut codes = StringBuilder::with_capacity(values.len(), values.len() * 4);
    for (value, country) in values.iter().zip(countries) {
        let (Some(value), Some(country)) = (value, country) else {
            codes.append_option(value);
            continue;
        };
        let code = place::region(value, country);
        if code.is_none() && place::country(country).is_some() {
            odd.note("region", ValueWarningKind::UnknownRegion, value);
        }
        codes.append_value(code.unwrap_or(value));
    }
    Arc::new(codes.finish())
}

/// Whether a column holds ids, or codes made of digits.
pub(super) fn is_id(column: &str) -> bool {
    ["external_id", "postal_code"].contains(&column) || column.ends_with("_id")
}

/// Ids without the `.0` that a float adds; an id that a spreadsheet shortened (`1.23E+15`) is unchanged.
pub(super) fn ids(values: &ArrayRef, column: &'static str, odd: &mut ValueWarnings) -> ArrayRef {
    let Some(texts) = values.as_string_opt::<i32>() else {
        return Arc::clone(values);
    };
    let mut is_changed = false;
    for value in texts.iter().flatten() {
        if whole(value).is_some() {
            is_changed = true;
            odd.note(column, ValueWarningKind::WholeId, value);
        } else if is_shortened(value) {
            odd.note(column, ValueWarningKind::ShortenedId, value);
        }
    }
    if !is_changed {
        return Arc::clone(values);
    }
    let read = texts
        .iter()
        .map(|value| value.map(|value| whole(value).unwrap_or(value)));
    Arc::new(read.collect::<StringArray>())
}

/// `1001` of `1001.0`.
fn whole(value: &str) -> Option<&str> {
    let digits = value.strip_suffix(".0")?;
    let is_number = (1..=EXACT).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'));
    is_number.then_some(digits)
}

/// `1.00123E+12`.
fn is_shortened(value: &str) -> bool {
    let Some((mantissa, exponent)) = value.split_once(['E', 'e']) else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = exponent.strip_prefix('+');
    let (whole, fraction) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, "0"));
    exponent.is_some_and(digits) && digits(whole) && digits(fraction)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, StringArray};

    use super::{countries, ids, is_id, regions};
    use crate::rows::value_warnings::ValueWarnings;

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    fn told(odd: &ValueWarnings) -> Vec<(&'static str, u64)> {
        let all = odd.of_table("persons");
        all.map(|odd| (odd.column, odd.rows)).collect()
    }

    #[test]
    fn places_become_codes_and_unknown_ones_are_counted() {
        let mut odd = ValueWarnings::default();
        let names = [
            Some("Germany"),
            Some("us"),
            None,
            Some("Mordor"),
            Some("NA"),
            Some("US"),
        ];
        let found = countries(&texts(&names), &mut odd);
        let codes = [
            Some("DE"),
            Some("US"),
            None,
            Some("Mordor"),
            Some("NA"),
            Some("US"),
        ];
        assert_eq!(found.as_string::<i32>(), &StringArray::from(codes.to_vec()));
        let names = [
            Some("Bayern"),
            Some("Mass."),
            Some("Kent"),
            Some("Gorgoroth"),
            None,
            Some("Bayern"),
        ];
        let found = regions(&texts(&names), &found, &mut odd);
        let codes = [
            Some("BY"),
            Some("MA"),
            Some("Kent"),
            Some("Gorgoroth"),
            None,
            Some("Bayern"),
        ];
        assert_eq!(found.as_string::<i32>(), &StringArray::from(codes.to_vec()));
        // A region without a country, or of an unknown country, is reported with its country.
        assert_eq!(told(&odd), [("country", 1), ("region", 1)]);
    }

    #[test]
    fn ids_lose_the_fraction_that_a_float_added() {
        let mut odd = ValueWarnings::default();
        let values = [
            "1001.0",
            "1002",
            "0.0",
            "007.0",
            "1.00",
            "v1.0",
            "1.5",
            "1.00123E+12",
            "4e15",
            "12345678901234567.0",
        ];
        let given = texts(&values.map(Some));
        let found = ids(&given, "external_id", &mut odd);
        let found: Vec<&str> = found.as_string::<i32>().iter().flatten().collect();
        let read = [
            "1001",
            "1002",
            "0",
            "007.0",
            "1.00",
            "v1.0",
            "1.5",
            "1.00123E+12",
            "4e15",
            "12345678901234567.0",
        ];
        assert_eq!(found, read);
        assert_eq!(told(&odd), [("external_id", 2), ("external_id", 1)]);
        assert!(is_id("order_id") && is_id("person_external_id") && !is_id("title"));
    }
}
