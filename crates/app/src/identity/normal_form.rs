//! Normal forms of e-mail addresses and phone numbers that users give: for lookups, suppressions, blocked
//! values and lists.

use rollbook_identity::normalise::{email, phone, text};
use rollbook_identity::token::MatchRule;

/// The region in which a phone number without country code is read: the person's country, else the
/// tenant's default region.
pub(crate) fn region<'a>(country: Option<&str>, default: Option<&'a str>) -> Option<&'a str> {
    phone::region(country.unwrap_or_default(), default)
}

/// The normal form of an e-mail address or a phone number; `None` if the text is neither.
pub(crate) fn normal(rule: MatchRule, value: &str, region: Option<&str>) -> Option<String> {
    match rule {
        MatchRule::Email => email::email(value),
        _ => phone::phone(value, region).map(|phone| phone.exact()),
    }
}

/// A fallback form for texts without a normal form: an e-mail address in lower case, a phone number as
/// its digits and `+`.
fn as_written(rule: MatchRule, value: &str) -> String {
    match rule {
        MatchRule::Email => value.trim().to_lowercase(),
        _ => {
            let folded = text(value).unwrap_or_default();
            folded
                .chars()
                .filter(|one| one.is_ascii_digit() || *one == '+')
                .collect()
        }
    }
}

/// All forms by which two values are compared, the normal form first.
pub(crate) fn forms(rule: MatchRule, value: &str, region: Option<&str>) -> Vec<String> {
    let mut forms: Vec<String> = normal(rule, value, region).into_iter().collect();
    let written = as_written(rule, value);
    if !written.is_empty() && !forms.contains(&written) {
        forms.push(written);
    }
    forms
}

#[cfg(test)]
mod tests {
    use rollbook_identity::token::MatchRule;

    use super::{forms, region};

    #[test]
    fn spellings_of_one_value_share_a_form() {
        let first = |rule, value, country| {
            let forms = forms(rule, value, region(country, Some("AT")));
            forms.into_iter().next()
        };
        for (value, country, form) in [
            ("+4915123456780", None, "+4915123456780"),
            ("0151 23456780", Some("DE"), "+4915123456780"),
            ("+49 (151) 2345-6780", Some("US"), "+4915123456780"),
            ("0049 151 23456780", Some("DE"), "+4915123456780"),
            ("+49/151/23456780", None, "+4915123456780"),
            ("0664 1234567", None, "+436641234567"),
            ("+43\u{a0}664\u{a0}1234567", None, "+436641234567"),
        ] {
            assert_eq!(
                first(MatchRule::Phone, value, country).as_deref(),
                Some(form),
                "{value}"
            );
        }
        for value in [
            " ANN@Bücher.test",
            "ann@xn--bcher-kva.test",
            "mailto:ann@bücher.test",
        ] {
            let form = Some("ann@xn--bcher-kva.test");
            assert_eq!(
                first(MatchRule::Email, value, None).as_deref(),
                form,
                "{value}"
            );
        }
        // Invalid phone numbers are compared by the fallback form.
        assert_eq!(forms(MatchRule::Phone, "12 34-56 78", None), ["12345678"]);
        assert_eq!(
            forms(MatchRule::Email, " Ann@Intranet ", None),
            ["ann@intranet"]
        );
    }
}
