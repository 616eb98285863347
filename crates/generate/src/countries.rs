//! Data by country for generated persons: names, cities, taxes, currencies and fictional phone numbers.

mod inhabited;
mod streets;

pub(crate) use inhabited::COUNTRIES;
pub(crate) use streets::Home;

/// Data of a country that its inhabitants share.
#[derive(Debug)]
pub(crate) struct Country {
    /// ISO 3166-1 alpha-2.
    pub(crate) code: &'static str,
    pub(crate) timezone: &'static str,
    pub(crate) currency: &'static str,
    /// Tax on top of prices, in thousandths.
    pub(crate) tax: i64,
    /// City, region, postal code.
    pub(crate) cities: &'static [(&'static str, &'static str, &'static str)],
    pub(crate) first_names: &'static [&'static str],
    pub(crate) last_names: &'static [&'static str],
    pub(crate) phones: Option<Phones>,
}

/// Phone numbers that a regulator reserves for fiction: each prefix is followed by a number of `digits`
/// digits.
#[derive(Debug)]
pub(crate) struct Phones {
    prefixes: &'static [&'static str],
    /// The first number after a prefix.
    first: u64,
    /// The number of numbers per prefix.
    each: u64,
    digits: usize,
}

impl Phones {
    /// The phone number with this rank; `None` once all are used, so that no two persons share a number.
    pub(crate) fn number(&self, rank: u64) -> Option<String> {
        let prefix = self.prefixes.get(usize::try_from(rank / self.each).ok()?)?;
        let number = self.first + rank % self.each;
        Some(format!("{prefix}{number:0digits$}", digits = self.digits))
    }
}

/// A name in lower case without accents, for the local part of an e-mail address.
pub(crate) fn plain(name: &str, plain: &mut String) {
    for letter in name.chars().flat_map(char::to_lowercase) {
        match letter {
            'a'..='z' => plain.push(letter),
            'ä' => plain.push_str("ae"),
            'ö' => plain.push_str("oe"),
            'ü' => plain.push_str("ue"),
            'ß' => plain.push_str("ss"),
            'á' | 'à' | 'â' => plain.push('a'),
            'ç' => plain.push('c'),
            'é' | 'è' | 'ê' | 'ë' => plain.push('e'),
            'í' | 'ì' | 'î' | 'ï' => plain.push('i'),
            'ñ' => plain.push('n'),
            'ó' | 'ò' | 'ô' => plain.push('o'),
            'ú' | 'ù' | 'û' => plain.push('u'),
            'ŷ' => plain.push('y'),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{COUNTRIES, plain};

    #[test]
    fn plain_names_keep_every_letter() {
        for (_, country) in COUNTRIES {
            for name in country.first_names.iter().chain(country.last_names) {
                let mut written = String::new();
                plain(name, &mut written);
                let letters = name.chars().filter(|letter| letter.is_alphabetic()).count();
                assert!(written.len() >= letters, "`{name}` became `{written}`");
            }
        }
    }

    #[test]
    fn phone_numbers_are_unique() {
        let phones = COUNTRIES.iter().find_map(|(_, country)| {
            (country.code == "GB")
                .then_some(country.phones.as_ref())
                .flatten()
        });
        let phones = phones.unwrap();
        assert_eq!(phones.number(0).as_deref(), Some("+44 7700 900000"));
        assert_eq!(phones.number(999).as_deref(), Some("+44 7700 900999"));
        assert_eq!(phones.number(1_000), None);
    }
}
