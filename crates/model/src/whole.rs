//! Whole numbers in requests and tokens: each number has one spelling.

/// Parses a whole number that has only one spelling: digits only, without a leading 0. `007` and `+7` are
/// refused, so that no object has two names.
pub fn whole(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = text == "0" || !text.starts_with('0');
    (is_plain && is_short).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn a_number_has_one_spelling() {
        for number in [0, 7, 70, u64::MAX] {
            assert_eq!(whole(&number.to_string()), Some(number));
        }
        for other in [
            "",
            "00",
            "007",
            "+7",
            "-7",
            "-0",
            " 7",
            "7 ",
            "7.0",
            "7e0",
            "0x7",
            "７",
            "18446744073709551616",
        ] {
            assert_eq!(whole(other), None, "`{other}`");
        }
    }
}
