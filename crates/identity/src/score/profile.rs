//! The values of a record, in the forms in which they are compared.

use std::collections::HashMap;

use super::{Field, Profile};
use crate::normalise::{self, address, date, email, name, phone, place};
use crate::shared::Shared;

impl Profile {
    /// The values of a record in normal form; phone numbers and codes without a country are read in `region`.
    pub fn of(values: &HashMap<Field, &str>, region: Option<&str>) -> Self {
        let text = |field: Field| values.get(&field).copied().unwrap_or_default();
        let country = place::country(text(Field::Country)).or(region);
        let (given, surname) = name::names(text(Field::GivenName), text(Field::Surname));
        let mut profile = Self::default();
        for (field, value) in values {
            let normal = match field {
                Field::GivenName => given.clone(),
                Field::Surname => surname.clone(),
                Field::City => name::place(value),
                Field::Region => address::region(value, country),
                Field::Country => address::country(value),
                // What is no date may still be the same mistake twice.
                Field::DateOfBirth => date::date(value).or_else(|| normalise::text(value)),
                Field::Line1 | Field::Line2 => address::street(value, ""),
                Field::PostalCode => address::postal_code(value, country),
                Field::Email => {
                    email::email(value).filter(|exact| !Shared::shipped().has_email(exact))
                }
                Field::Phone => phone::phone(value, country)
                    .filter(|phone| !Shared::shipped().has_phone(&phone.e164))
                    .map(|phone| phone.exact()),
                Field::StreetNumber | Field::NationalId => normalise::text(value),
            };
            profile.set(*field, normal);
        }
        profile
    }

    /// The same values with the e-mail address folded, for suggestions.
    pub fn folded(&self) -> Self {
        let mut profile = self.clone();
        let folded = profile.get(Field::Email).map(email::folded);
        profile.set(Field::Email, folded);
        profile
    }
}
