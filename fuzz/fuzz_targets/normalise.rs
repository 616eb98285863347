//! Whatever is written has one form or none, and the form of a form is itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rollbook_identity::normalise::address::{self, Address, household, postal_code};
use rollbook_identity::normalise::{date, email, given, name, phone, place, text};

fuzz_target!(|values: (&str, &str)| {
    let (value, other) = values;
    for form in [text(value), name::name(value), date::date(value)]
        .into_iter()
        .flatten()
    {
        assert!(!form.is_empty());
    }
    if let Some(exact) = email::email(value) {
        assert_eq!(email::email(&exact).as_ref(), Some(&exact));
        let folded = email::folded(&exact);
        assert_eq!(email::folded(&folded), folded);
    }
    for region in [None, Some("US"), Some("DE"), Some("GB")] {
        if let Some(number) = phone::phone(value, region) {
            let again = phone::phone(&number.e164, None).map(|again| again.e164);
            assert_eq!(again.as_ref(), Some(&number.e164));
        }
    }
    for country in [None, Some("US"), Some("DE"), Some("GB")] {
        if let Some(code) = postal_code(value, country) {
            assert_eq!(postal_code(&code, country), Some(code));
        }
    }
    if let Some(code) = place::country(value) {
        assert_eq!(place::country(code), Some(code));
        if let Some(region) = place::region(other, code) {
            assert_eq!(place::region(region, code), Some(region));
            assert_eq!(address::region(region, Some(code)).as_deref(), Some(region));
        }
    }
    let surname = name::name(other);
    let who = given::given(value, other, surname.as_deref());
    assert!(who.whole.is_none() || who.first.is_some() && who.initial.is_some());
    let one = household(&Address {
        surname: surname.as_deref(),
        line1: value,
        line2: other,
        city: value,
        region: other,
        postal_code: value,
        country: other,
    });
    assert!(one.is_none_or(|one| one.contains('|')));
});
