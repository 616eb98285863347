//! Comparison of two records, field by field, as levels of agreement.

use strsim::{jaro_winkler, osa_distance};

/// The number of compared fields.
pub const FIELDS: usize = 13;
/// Levels of agreement of a field: none, low, high, equal.
pub(super) const LEVELS: usize = 4;

/// The level of agreement of each field; `None` if a record lacks it.
pub(super) type Levels = [Option<u8>; FIELDS];

/// A field of a record of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// First name.
    GivenName,
    /// Family name.
    Surname,
    /// Date of birth as `yyyymmdd`.
    DateOfBirth,
    /// Street number, if it is separate from the street.
    StreetNumber,
    /// Street.
    Line1,
    /// Unit, or other content of a second line.
    Line2,
    /// City.
    City,
    /// State or province.
    Region,
    /// Postal code.
    PostalCode,
    /// Country.
    Country,
    /// E-mail address in its folded form.
    Email,
    /// Phone number.
    Phone,
    /// A national identification number.
    NationalId,
}

impl Field {
    /// All fields, in order.
    pub const ALL: [Self; FIELDS] = [
        Self::GivenName,
        Self::Surname,
        Self::DateOfBirth,
        Self::StreetNumber,
        Self::Line1,
        Self::Line2,
        Self::City,
        Self::Region,
        Self::PostalCode,
        Self::Country,
        Self::Email,
        Self::Phone,
        Self::NationalId,
    ];

    /// The field's name in files and documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::GivenName => "given_name",
            Self::Surname => "surname",
            Self::DateOfBirth => "date_of_birth",
            Self::StreetNumber => "street_number",
            Self::Line1 => "line1",
            Self::Line2 => "line2",
            Self::City => "city",
            Self::Region => "region",
            Self::PostalCode => "postal_code",
            Self::Country => "country",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::NationalId => "national_id",
        }
    }
}

/// The values of a record, in normal form.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    values: [Option<Box<str>>; FIELDS],
}

impl Profile {
    /// Sets the value of a field.
    pub fn set(&mut self, field: Field, value: Option<String>) {
        self.values[field as usize] = value.map(String::into_boxed_str);
    }

    /// The value of a field.
    pub fn get(&self, field: Field) -> Option<&str> {
        self.values[field as usize].as_deref()
    }
}

/// The level of agreement of two records in each field.
pub(super) fn levels(a: &Profile, b: &Profile) -> Levels {
    let level = |field: Field| Some(of_field(field, a.get(field)?, b.get(field)?));
    let mut levels = Field::ALL.map(level);
    let swapped = |one: &Profile, other: &Profile| {
        let given = one.get(Field::GivenName)?;
        Some(given == other.get(Field::Surname)?)
    };
    // First and family name in each other's place are no disagreement.
    if swapped(a, b) == Some(true) && swapped(b, a) == Some(true) {
        for field in [Field::GivenName, Field::Surname] {
            let level = &mut levels[field as usize];
            *level = level.map(|level| level.max(2));
        }
    }
    levels
}

fn of_field(field: Field, a: &str, b: &str) -> u8 {
    if a == b {
        return 3;
    }
    let close = |nearly: f64, somewhat: f64| match jaro_winkler(a, b) {
        likeness if likeness >= nearly => 2,
        likeness if likeness >= somewhat => 1,
        _ => 0,
    };
    match field {
        Field::DateOfBirth | Field::NationalId | Field::Phone => match osa_distance(a, b) {
            0..=1 => 2,
            2 => 1,
            _ => 0,
        },
        Field::StreetNumber | Field::PostalCode => match osa_distance(a, b) {
            0..=1 => 2,
            _ => 0,
        },
        Field::Region | Field::Country => 0,
        Field::GivenName | Field::Surname => close(0.92, 0.8),
        Field::Line1 | Field::Line2 | Field::City | Field::Email => close(0.92, 0.8),
    }
}

#[cfg(test)]
mod tests {
    use super::{Field, Profile, levels};

    #[test]
    fn fields_agree_to_levels() {
        let of = |field: Field, a: &str, b: &str| {
            let (mut one, mut other) = (Profile::default(), Profile::default());
            one.set(field, Some(a.to_owned()));
            other.set(field, Some(b.to_owned()));
            levels(&one, &other)[field as usize]
        };
        assert_eq!(of(Field::Surname, "garcia", "garcia"), Some(3));
        assert_eq!(of(Field::Surname, "garcia", "garzia"), Some(2));
        assert_eq!(of(Field::Surname, "garcia", "okafor"), Some(0));
        assert_eq!(of(Field::DateOfBirth, "19081209", "19081290"), Some(2));
        assert_eq!(of(Field::DateOfBirth, "19081209", "19500101"), Some(0));
        assert_eq!(levels(&Profile::default(), &Profile::default()), [None; 13]);
    }

    #[test]
    fn swapped_names_agree() {
        let of = |given: &str, surname: &str| {
            let mut one = Profile::default();
            one.set(Field::GivenName, Some(given.to_owned()));
            one.set(Field::Surname, Some(surname.to_owned()));
            one
        };
        let levels = levels(&of("ann", "okafor"), &of("okafor", "ann"));
        assert_eq!(levels[..2], [Some(2), Some(2)]);
    }
}
