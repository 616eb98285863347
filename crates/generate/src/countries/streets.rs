//! Streets and their abbreviations, so that one address can be written in two ways.

use crate::dice::Dice;

/// The street names of a country.
#[derive(Debug)]
struct Streets {
    names: &'static [&'static str],
    /// Kinds of street in full and abbreviated.
    kinds: &'static [(&'static str, &'static str)],
    order: Order,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// `Lindenstraße 12`
    OneWord,
    /// `12 Mill Road`
    KindLast,
    /// `12 Rue Pasteur`
    NumberFirst,
    /// `Via Garibaldi 12`
    KindFirst,
}

const GERMAN: Streets = Streets {
    names: &[
        "Linden", "Bahnhof", "Garten", "Schiller", "Goethe", "Kirch", "Berg", "Wald", "Rosen",
        "Mühlen", "Park", "Markt", "Ufer", "Wiesen", "Schul", "Ahorn",
    ],
    kinds: &[
        ("straße", "str."),
        ("weg", "w."),
        ("allee", "all."),
        ("platz", "pl."),
    ],
    order: Order::OneWord,
};
const DUTCH: Streets = Streets {
    names: &[
        "Linden",
        "Station",
        "Kerk",
        "Molen",
        "School",
        "Dorps",
        "Beuken",
        "Wilhelmina",
        "Juliana",
        "Prinsen",
    ],
    kinds: &[("straat", "str."), ("laan", "ln."), ("plein", "pln.")],
    order: Order::OneWord,
};
const ENGLISH: Streets = Streets {
    names: &[
        "Mill", "Church", "Station", "Oak", "Maple", "King's", "Queen's", "Park", "Victoria",
        "Albert", "Green", "North", "Orchard", "Bridge",
    ],
    kinds: &[
        ("Street", "St"),
        ("Road", "Rd"),
        ("Avenue", "Ave"),
        ("Lane", "Ln"),
    ],
    order: Order::KindLast,
};
const FRENCH: Streets = Streets {
    names: &[
        "Pasteur",
        "Victor Hugo",
        "de la Gare",
        "des Écoles",
        "du Moulin",
        "de l'Église",
        "Jean Jaurès",
        "des Lilas",
        "de la Fontaine",
        "du Château",
        "Voltaire",
        "des Tilleuls",
    ],
    kinds: &[("Rue", "R."), ("Avenue", "Av."), ("Boulevard", "Bd")],
    order: Order::NumberFirst,
};
const SPANISH: Streets = Streets {
    names: &[
        "Mayor",
        "Real",
        "de la Iglesia",
        "del Sol",
        "Cervantes",
        "de la Constitución",
        "Nueva",
        "San José",
        "del Carmen",
        "Colón",
    ],
    kinds: &[("Calle", "C."), ("Avenida", "Av."), ("Plaza", "Pl.")],
    order: Order::KindFirst,
};
const ITALIAN: Streets = Streets {
    names: &[
        "Garibaldi",
        "Roma",
        "Mazzini",
        "Verdi",
        "Dante",
        "Cavour",
        "Marconi",
        "dei Mille",
        "San Martino",
        "Leopardi",
    ],
    kinds: &[("Via", "V."), ("Viale", "V.le"), ("Piazza", "P.za")],
    order: Order::KindFirst,
};

/// A street and a number.
#[derive(Debug)]
pub(crate) struct Home {
    streets: &'static Streets,
    name: usize,
    kind: usize,
    number: i64,
}

impl Home {
    pub(crate) fn draw(country: &str, dice: &mut Dice) -> Self {
        let streets = match country {
            "NL" => &DUTCH,
            "GB" | "IE" | "US" => &ENGLISH,
            "FR" => &FRENCH,
            "ES" => &SPANISH,
            "IT" => &ITALIAN,
            _ => &GERMAN,
        };
        Self {
            streets,
            name: dice.index(streets.names.len()),
            kind: dice.index(streets.kinds.len()),
            number: dice.between(1, 240),
        }
    }

    pub(crate) fn in_full(&self) -> String {
        self.with_kind(self.streets.kinds[self.kind].0)
    }

    pub(crate) fn abbreviated(&self) -> String {
        self.with_kind(self.streets.kinds[self.kind].1)
    }

    fn with_kind(&self, kind: &str) -> String {
        let (name, number) = (self.streets.names[self.name], self.number);
        match self.streets.order {
            Order::OneWord => format!("{name}{kind} {number}"),
            Order::KindLast => format!("{number} {name} {kind}"),
            Order::NumberFirst => format!("{number} {kind} {name}"),
            Order::KindFirst => format!("{kind} {name} {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Home;
    use crate::countries::COUNTRIES;
    use crate::dice::{Dice, Stream};

    #[test]
    fn every_country_has_streets_that_can_be_abbreviated() {
        let mut dice = Dice::new(1, Stream::Facts, 0);
        for (_, country) in COUNTRIES {
            let home = Home::draw(country.code, &mut dice);
            let (full, short) = (home.in_full(), home.abbreviated());
            assert!(short.len() < full.len(), "`{full}` became `{short}`");
            assert!(full.contains(&home.number.to_string()), "{full}");
        }
    }
}
