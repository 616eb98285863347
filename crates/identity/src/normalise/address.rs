//! Postal addresses: streets with the suffixes of Publication 28 of the US Postal Service, units
//! under one word, postal codes by the rules of their country.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{name, place, text};

/// Street suffixes and directions with their abbreviations.
static SUFFIXES: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let lines = include_str!("suffixes.csv").lines();
    lines.filter_map(|line| line.split_once(',')).collect()
});

/// Words that begin the number of a unit.
const UNITS: [&str; 12] = [
    "apt",
    "apartment",
    "unit",
    "suite",
    "ste",
    "flat",
    "room",
    "rm",
    "no",
    "number",
    "#",
    "appt",
];

/// Countries whose postal codes have this many digits, including leading zeros.
const DIGITS: [(&str, usize); 14] = [
    ("US", 5),
    ("DE", 5),
    ("FR", 5),
    ("IT", 5),
    ("ES", 5),
    ("MX", 5),
    ("FI", 5),
    ("EE", 5),
    ("TR", 5),
    ("AU", 4),
    ("AT", 4),
    ("CH", 4),
    ("NO", 4),
    ("BR", 8),
];

/// The parts of an address, as in the source.
#[derive(Debug, Clone, Copy, Default)]
pub struct Address<'a> {
    /// Last name of the resident, in normal form.
    pub surname: Option<&'a str>,
    /// Street and number.
    pub line1: &'a str,
    /// Unit, floor, care of.
    pub line2: &'a str,
    /// City.
    pub city: &'a str,
    /// State or province.
    pub region: &'a str,
    /// Postal code.
    pub postal_code: &'a str,
    /// Country, in any spelling.
    pub country: &'a str,
}

/// The key of a household: surname and address in one text. `None` without a surname, a street with a number
/// (or a box), and either a postal code or a city, since strangers share less than that. First names tell the
/// members of a household apart.
pub fn household(parts: &Address<'_>) -> Option<String> {
    let surname = parts.surname?;
    let country = country(parts.country);
    let postal = postal_code(parts.postal_code, country.as_deref());
    let city = name::place(parts.city);
    if postal.is_none() && city.is_none() {
        return None;
    }
    let street = street(parts.line1, parts.line2)?;
    if !street.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let region = region(parts.region, country.as_deref());
    let place = [city, region, postal, country].map(Option::unwrap_or_default);
    Some(format!("{surname}|{street}|{}", place.join("|")))
}

/// The code of a country; if it has none, its name unchanged.
pub fn country(value: &str) -> Option<String> {
    let code = place::country(value).map(str::to_owned);
    code.or_else(|| Some(text(value)?.to_uppercase()))
}

/// The code of a region in its country; if it has none there, its name unchanged.
pub fn region(value: &str, country: Option<&str>) -> Option<String> {
    let code = country.and_then(|country| place::region(value, country));
    code.map(str::to_owned).or_else(|| name::place(value))
}

/// Both lines of a street as one: suffixes are abbreviated, the number of a unit comes last.
pub fn street(line1: &str, line2: &str) -> Option<String> {
    let both = format!(
        "{} {}",
        line1.replace('#', " # "),
        line2.replace('#', " # ")
    );
    let both = text(&both)?;
    let plain: String = both
        .chars()
        .filter(|one| *one != '.' && *one != '\'')
        .collect();
    let words = plain.split(|one: char| !(one.is_alphanumeric() || one == '#'));
    let (mut street, mut unit) = (Vec::new(), Vec::new());
    let mut is_unit = false;
    for word in words.filter(|word| !word.is_empty()) {
        if UNITS.contains(&word) && !street.is_empty() {
            is_unit = true;
        } else if is_unit
            && word
                .chars()
                .any(|one| one.is_ascii_digit() || one.is_alphabetic())
        {
            unit.push(word.to_owned());
            is_unit = false;
        } else {
            let short = SUFFIXES.get(word).copied().unwrap_or(word);
            street.push(short.to_owned());
        }
    }
    if let [post, office, rest @ ..] = street.as_slice()
        && (post == "post" || post == "p")
        && (office == "office" || office == "o")
    {
        let rest = rest.iter().cloned();
        street = std::iter::once("po".to_owned()).chain(rest).collect();
    }
    if !unit.is_empty() {
        street.push(format!("unit {}", unit.join(" ")));
    }
    (!street.is_empty()).then(|| street.join(" "))
}

/// A postal code with the leading zeros that a spreadsheet removed, and without a delivery extension (ZIP+4).
/// `None` if it has no digit, or letters or digits outside ASCII, which no country's codes have.
pub fn postal_code(value: &str, country: Option<&str>) -> Option<String> {
    let value = text(value)?.to_ascii_uppercase();
    let digits = DIGITS.iter().find(|(of, _)| Some(*of) == country);
    let main = match country {
        Some("US") => value.split('-').next().unwrap_or(&value),
        _ => &value,
    };
    // What a program kept as a float.
    let is_whole = |whole: &&str| whole.bytes().all(|byte| byte.is_ascii_digit());
    let main = main.strip_suffix(".0").filter(is_whole).unwrap_or(main);
    let plain: String = main.chars().filter(|one| one.is_alphanumeric()).collect();
    if !plain.is_ascii() || !plain.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let is_digits = plain.bytes().all(|byte| byte.is_ascii_digit());
    match digits {
        // Nine digits are a code and its extension.
        Some(("US", _)) if is_digits && plain.len() == 9 => Some(plain[..5].to_owned()),
        Some((_, count)) if is_digits && plain.len() <= *count => Some(format!("{plain:0>count$}")),
        _ => Some(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, household, postal_code, street};

    #[test]
    fn streets_have_one_normal_form() {
        for (line1, line2, form) in [
            ("12 Main Street", "", "12 main st"),
            ("12 Main St.", "Apt 4B", "12 main st unit 4b"),
            ("12 Main St #4B", "", "12 main st unit 4b"),
            ("12 MAIN STREET, Suite 4b", "", "12 main st unit 4b"),
            ("12 North Main Avenue", "", "12 n main ave"),
            ("P.O. Box 12", "", "po box 12"),
            ("Post Office Box 12", "", "po box 12"),
            ("PO Box 12", "", "po box 12"),
        ] {
            assert_eq!(
                street(line1, line2).as_deref(),
                Some(form),
                "{line1} {line2}"
            );
        }
    }

    #[test]
    fn postal_codes_follow_their_country() {
        for (code, country, form) in [
            ("2134", "US", Some("02134")),
            ("02134", "US", Some("02134")),
            ("02134-1001", "US", Some("02134")),
            ("2134.0", "US", Some("02134")),
            ("2134.0", "", Some("2134")),
            ("021341001", "US", Some("02134")),
            ("1067", "DE", Some("01067")),
            ("01067", "DE", Some("01067")),
            ("800", "AU", Some("0800")),
            ("k1a 0b1", "CA", Some("K1A0B1")),
            ("SW1A 1AA", "GB", Some("SW1A1AA")),
            ("2134", "", Some("2134")),
            ("", "US", None),
            ("na+", "", None),
            // Left of these two marks without the blank between them is another text.
            ("1\u{10eab}\u{fe72}", "", None),
        ] {
            let country = Some(country).filter(|country| !country.is_empty());
            assert_eq!(
                postal_code(code, country).as_deref(),
                form,
                "{code} {country:?}"
            );
        }
    }

    #[test]
    fn incomplete_addresses_have_no_household_key() {
        let whole = Address {
            surname: Some("lee"),
            line1: "12 Main Street",
            city: "Boston",
            region: "MA",
            postal_code: "2134",
            country: "us",
            ..Address::default()
        };
        let found = household(&whole).unwrap();
        assert_eq!(found, "lee|12 main st|boston|MA|02134|US");
        let same = Address {
            line1: "12 main st",
            postal_code: "02134",
            region: "Massachusetts",
            country: "United States",
            ..whole
        };
        assert_eq!(household(&same), Some(found.clone()));
        for less in [
            Address {
                surname: None,
                ..whole
            },
            Address {
                line1: "Main Street",
                ..whole
            },
            Address {
                city: "",
                postal_code: "",
                ..whole
            },
        ] {
            assert_eq!(household(&less), None, "{less:?}");
        }
        let neighbour = Address {
            line2: "Apt 4",
            ..whole
        };
        assert_ne!(household(&neighbour), Some(found));
    }
}
