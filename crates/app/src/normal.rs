//! The one form in which e-mail addresses and phone numbers are compared, wherever somebody writes
//! one: to suppress it, to find whose it is, to block it, to list it.

use rollbook_identity::normalise::{email, phone, text};
use rollbook_identity::token::MatchRule;

/// What a phone number without a country is read in: the country of whose it is, as people write it,
/// else the tenant's default region.
pub(crate) fn region<'a>(country: Option<&str>, default: Option<&'a str>) -> Option<&'a str> {
    phone::region(country.unwrap_or_default(), default)
}

/// An e-mail address or a phone number in normal form; `None` where it is none.
pub(crate) fn normal(tier: MatchRule, value: &str, region: Option<&str>) -> Option<String> {
    match tier {
        MatchRule::Email => email::email(value),
        _ => phone::phone(value, region).map(|phone| phone.exact()),
    }
}

/// The same as it is written, for what has no normal form: in lower case, and of a number its digits
/// and a `+`.
pub(crate) fn as_written(tier: MatchRule, value: &str) -> String {
    match tier {
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

/// Every form by which a value is the same as another: the normal one first, where it has one.
pub(crate) fn forms(tier: MatchRule, value: &str, region: Option<&str>) -> Vec<String> {
    let mut forms: Vec<String> = normal(tier, value, region).into_iter().collect();
    let written = as_written(tier, value);
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
    fn every_spelling_has_one_normal_form() {
        let first = |tier, value, country| {
            let forms = forms(tier, value, region(country, Some("AT")));
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
        // What is no number of any network is compared as it is written.
        assert_eq!(forms(MatchRule::Phone, "12 34-56 78", None), ["12345678"]);
        assert_eq!(
            forms(MatchRule::Email, " Ann@Intranet ", None),
            ["ann@intranet"]
        );
    }
}
