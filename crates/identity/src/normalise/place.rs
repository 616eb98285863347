//! Countries and regions as people write them, and their codes: `Deutschland` is `DE`, `Massachusetts` is
//! `MA`.
//!
//! The names are those of Unicode CLDR 48 (Unicode-3.0), from the crates `celes` and `keshvar`
//! (BSD-3-Clause) and the Python package `babel` (BSD-3-Clause), with the names of ISO 3166-1 and old
//! abbreviations. Each is in the form of [`name`](super::name), one place per line; a name of several
//! places of one kind is left out.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use super::name;

/// Codes of countries, by name and by code.
static COUNTRIES: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let lines = include_str!("place/countries.csv").lines();
    let lines = lines.filter_map(|line| line.split_once(','));
    let names = lines.flat_map(|(code, names)| names.split('|').map(move |name| (name, code)));
    names.chain(codes()).collect()
});

fn codes() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("place/countries.csv").lines();
    let codes = lines.filter_map(|line| line.get(..2));
    codes.map(|code| (code, code))
}

/// The regions of each country.
static REGIONS: LazyLock<HashMap<&'static str, Regions>> = LazyLock::new(|| {
    let mut regions: HashMap<&str, Regions> = HashMap::new();
    for line in include_str!("place/regions.csv").lines() {
        if let Some((country, rest)) = line.split_once(',') {
            regions.entry(country).or_default().lines.push(rest);
        }
    }
    regions
});

/// The names of one country's regions, parsed on first use.
#[derive(Default)]
struct Regions {
    lines: Vec<&'static str>,
    by_name: OnceLock<HashMap<&'static str, &'static str>>,
}

impl Regions {
    fn by_name(&self) -> &HashMap<&'static str, &'static str> {
        self.by_name.get_or_init(|| {
            let lines = self.lines.iter().filter_map(|line| line.split_once(','));
            let named = lines.flat_map(|(code, names)| {
                let names = names.split('|').filter(|name| !name.is_empty());
                names.chain([code]).map(move |name| (name, code))
            });
            named.collect()
        })
    }
}

/// The code of a country (ISO 3166-1 alpha-2), from its code of two or three letters or its name in many
/// languages; `None` if no country has this name.
pub fn country(value: &str) -> Option<&'static str> {
    let countries = &*COUNTRIES;
    // As most sources have it.
    if let Some(code) = countries
        .get(value.trim())
        .filter(|_| is_code(value.trim()))
    {
        return Some(code);
    }
    found(value, |name| {
        let code = name.to_ascii_uppercase();
        let by_code = countries.get(code.as_str()).filter(|_| code.len() == 2);
        by_code.or_else(|| countries.get(name)).copied()
    })
}

/// The code of a region (ISO 3166-2, without the country), from its code or name; `None` if the country has
/// no such region. `country` is a code returned by [`country`].
pub fn region(value: &str, country: &str) -> Option<&'static str> {
    let names = REGIONS.get(country)?.by_name();
    let trimmed = value.trim();
    let short = trimmed.strip_prefix(country);
    let short = short.and_then(|short| short.strip_prefix('-'));
    if let Some(code) = names
        .get(short.unwrap_or(trimmed))
        .filter(|_| is_code(trimmed))
    {
        return Some(code);
    }
    found(value, |name| {
        let code = name.to_ascii_uppercase();
        let by_code = || names.get(code.as_str()).copied();
        names.get(name).copied().or_else(by_code)
    })
}

/// Looks up a name, and the part before a bracket: `United States (US)`.
fn found(value: &str, of: impl Fn(&str) -> Option<&'static str>) -> Option<&'static str> {
    let whole = name::any(value)?;
    let before = || {
        let (before, _) = value.split_once(['(', '['])?;
        of(&name::any(before)?)
    };
    of(&whole).or_else(before)
}

fn is_code(value: &str) -> bool {
    let mut bytes = value.bytes();
    bytes.all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::{country, name, region};

    #[test]
    fn countries_have_one_code() {
        for (value, code) in [
            ("DE", Some("DE")),
            ("de", Some("DE")),
            (" us ", Some("US")),
            ("USA", Some("US")),
            ("U.S.A.", Some("US")),
            ("U. S. A.", Some("US")),
            ("U.S.", Some("US")),
            ("United States", Some("US")),
            ("United States of America", Some("US")),
            ("United States (US)", Some("US")),
            ("the United States", Some("US")),
            ("Vereinigte Staaten", Some("US")),
            ("Estados Unidos", Some("US")),
            ("Germany", Some("DE")),
            ("GERMANY", Some("DE")),
            ("Deutschland", Some("DE")),
            ("Allemagne", Some("DE")),
            ("DEU", Some("DE")),
            ("UK", Some("GB")),
            ("U.K.", Some("GB")),
            ("England", Some("GB")),
            ("Great Britain", Some("GB")),
            ("Österreich", Some("AT")),
            ("Osterreich", Some("AT")),
            ("Côte d’Ivoire", Some("CI")),
            ("Ivory Coast", Some("CI")),
            ("Cote D'Ivoire", Some("CI")),
            ("Holland", Some("NL")),
            ("The Netherlands", Some("NL")),
            ("Korea, Republic of", Some("KR")),
            ("South Korea", Some("KR")),
            ("Schweiz", Some("CH")),
            ("Türkiye", Some("TR")),
            ("Turkey", Some("TR")),
            ("日本", Some("JP")),
            ("Россия", Some("RU")),
            ("NA", Some("NA")),
            ("na", Some("NA")),
            ("Namibia", Some("NA")),
            ("XX", None),
            ("Atlantis", None),
            ("", None),
            ("n/a", None),
        ] {
            assert_eq!(country(value), code, "{value:?}");
        }
    }

    #[test]
    fn regions_have_one_code_in_their_country() {
        for (value, of, code) in [
            ("MA", "US", Some("MA")),
            ("ma", "US", Some("MA")),
            ("US-MA", "US", Some("MA")),
            ("Massachusetts", "US", Some("MA")),
            ("MASSACHUSETTS", "US", Some("MA")),
            ("Mass.", "US", Some("MA")),
            ("N.Y.", "US", Some("NY")),
            ("New York", "US", Some("NY")),
            ("Washington", "US", Some("WA")),
            ("Washington, D.C.", "US", Some("DC")),
            ("Bayern", "DE", Some("BY")),
            ("Bavaria", "DE", Some("BY")),
            ("Baden-Württemberg", "DE", Some("BW")),
            ("Québec", "CA", Some("QC")),
            ("Ontario", "CA", Some("ON")),
            ("New South Wales", "AU", Some("NSW")),
            ("England", "GB", Some("ENG")),
            ("Wien", "AT", Some("9")),
            ("Vienna", "AT", Some("9")),
            ("NA", "IT", Some("NA")),
            ("Napoli", "IT", Some("NA")),
            ("東京都", "JP", Some("13")),
            // Of another country, or of none.
            ("Bayern", "US", None),
            ("Massachusetts", "XX", None),
            ("nowhere", "US", None),
            ("", "US", None),
        ] {
            assert_eq!(region(value, of), code, "{value:?} of {of}");
        }
    }

    #[test]
    fn place_names_are_stored_normalised() {
        for file in [
            include_str!("place/countries.csv"),
            include_str!("place/regions.csv"),
        ] {
            for line in file.lines() {
                let names = line.rsplit(',').next().unwrap().split('|');
                for one in names.filter(|one| !one.is_empty()) {
                    assert_eq!(name::any(one).as_deref(), Some(one), "{line}");
                }
            }
        }
    }

    #[test]
    fn codes_are_unique() {
        for line in include_str!("place/countries.csv").lines() {
            let code = &line[..2];
            assert_eq!(country(code), Some(code));
            assert_eq!(country(&code.to_lowercase()), Some(code));
        }
        for line in include_str!("place/regions.csv").lines() {
            let mut parts = line.split(',');
            let (of, code) = (parts.next().unwrap(), parts.next().unwrap());
            assert_eq!(region(code, of), Some(code), "{line}");
            assert_eq!(region(&format!("{of}-{code}"), of), Some(code), "{line}");
        }
    }
}
