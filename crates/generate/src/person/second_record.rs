//! The record of a person at a second provider, with typos and other formats.

use super::card::{Card, Record};
use super::{Numbers, Outcome, Subject};
use crate::calendar::{DAY, END};
use crate::countries::plain;
use crate::dice::{Dice, Stream};
use crate::error::GenerateError;
use crate::output::{Output, Table};

/// The provider of second records.
const SECOND_PROVIDER: &str = "crm";

/// Writes the second record of a person, if they have one. It has no facts.
pub(super) fn write(
    subject: &Subject<'_>,
    outcome: &Outcome,
    card: &Card,
    numbers: &mut Numbers,
    output: &mut Output,
) -> Result<(), GenerateError> {
    let (world, profile) = (subject.world, subject.profile);
    let mut dice = Dice::new(world.seed, Stream::SecondRecord, subject.number);
    if !dice.chance(world.duplicates_per_mille) {
        return Ok(());
    }
    let dice = &mut dice;
    let record = Record {
        provider: SECOND_PROVIDER,
        kind: 'K',
        number: Numbers::take(&mut numbers.second_record),
    };
    let (first, last) = names(card, dice);
    let created_at = dice.between(profile.joined, END.min(profile.joined + 200 * DAY));
    let phone = card.phone.as_deref().filter(|_| dice.chance(750));
    let phone = phone.map(|phone| reformatted(phone, dice));
    let (city, region, postal_code) = card.city;
    let tells_city = dice.chance(900);

    let row = output.row(Table::Persons).id(record.kind, record.number);
    let row = row
        .text(&format!("{first} {last}"))
        .text(&first)
        .text(&last);
    let row = row.text(&email(card, dice)).blank();
    let row = row.maybe_text(phone.as_deref()).blank();
    let row = row.blank().blank().maybe_id('G', profile.organization);
    let row = row.blank().blank().blank();
    let row = if tells_city {
        row.text(city).text(region).text(postal_code)
    } else {
        row.blank().blank().blank()
    };
    let row = row.text(profile.country.code).blank();
    let row = row.flag(false).flag(outcome.revenue_orders > 0).flag(false);
    let row = row.flag(true).flag(false).flag(false);
    let row = row.text("contact").blank().text("crm");
    // Tags, loyalty, consent and other fields are the shop's.
    let row = (0..10).fold(row, |row, _| row.blank());
    row.time(created_at)
        .time(created_at)
        .blank()
        .text(record.provider)
        .end_behind()?;
    if tells_city && dice.chance(800) {
        let line = if dice.chance(600) {
            card.home.abbreviated()
        } else {
            card.home.in_full()
        };
        record.write_address(card, &line, subject, numbers, output)?;
    }
    if output.has(Table::TruthIdentities) {
        let row = output.row(Table::TruthIdentities).text(record.provider);
        row.id(record.kind, record.number)
            .id('H', subject.number)
            .end_behind()?;
    }
    Ok(())
}

/// First and last name: most unchanged, some with a typo, some without accents.
fn names(card: &Card, dice: &mut Dice) -> (String, String) {
    let (first, last) = (card.first_name, card.last_name);
    match dice.below(100) {
        0..50 => (first.to_owned(), last.to_owned()),
        50..62 => (slipped(first, dice), last.to_owned()),
        62..80 => (first.to_owned(), slipped(last, dice)),
        80..88 => (without_accents(first), without_accents(last)),
        88..95 => (initial(first), last.to_owned()),
        _ => (last.to_owned(), first.to_owned()),
    }
}

/// A name with two letters swapped, one omitted or one doubled; the first letter is unchanged.
fn slipped(name: &str, dice: &mut Dice) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    if letters.len() < 3 {
        return name.to_owned();
    }
    let at = 1 + dice.index(letters.len() - 2);
    match dice.below(3) {
        0 if letters[at] != letters[at + 1] => letters.swap(at, at + 1),
        1 => {
            letters.remove(at);
        }
        _ => letters.insert(at, letters[at]),
    }
    letters.into_iter().collect()
}

fn without_accents(name: &str) -> String {
    let mut letters = String::new();
    plain(name, &mut letters);
    let mut written = initial(&letters);
    written.pop();
    written.extend(letters.chars().skip(1));
    written
}

fn initial(name: &str) -> String {
    let first = name.chars().next().into_iter().flat_map(char::to_uppercase);
    first.chain(['.']).collect()
}

/// The address in other case, in another form, another address, or none.
fn email(card: &Card, dice: &mut Dice) -> String {
    let email = &card.email;
    let (name, domain) = email.split_once('@').expect("an address has an @");
    match dice.below(100) {
        0..50 => email.clone(),
        50..65 => {
            let mut capitals = String::with_capacity(email.len());
            for letter in email.chars() {
                let before = capitals.chars().next_back();
                match before {
                    None | Some('.') => capitals.push(letter.to_ascii_uppercase()),
                    _ => capitals.push(letter),
                }
            }
            capitals
        }
        65..73 => format!("{name}+{}@{domain}", dice.pick(&["shop", "news", "crm"])),
        73..80 => format!("{}@{domain}", name.replace('.', "")),
        80..88 => {
            let (first, last) = name.split_once('.').unwrap_or((name, ""));
            let number = last.trim_start_matches(|letter: char| !letter.is_ascii_digit());
            format!(
                "{}{first}{number}@example.org",
                initial(last).to_lowercase()
            )
        }
        _ => String::new(),
    }
}

/// A phone number in another format: `+49 30 23125001` becomes `030-23125001`, `0049…`, `+4930…`.
fn reformatted(phone: &str, dice: &mut Dice) -> String {
    let (country, rest) = phone.split_once(' ').unwrap_or(("", phone));
    let trunk = if country == "+1" { "" } else { "0" };
    match dice.below(5) {
        0 => phone.to_owned(),
        1 => phone.replace(' ', ""),
        2 => format!("{trunk}{rest}"),
        3 => {
            let mut digits = phone.replace([' ', '+'], "");
            digits.insert_str(0, "00");
            digits
        }
        _ => format!("{trunk}{}", rest.replace(' ', "-")),
    }
}

#[cfg(test)]
mod tests {
    use super::{reformatted, slipped, without_accents};
    use crate::dice::{Dice, Stream};

    #[test]
    fn typos_and_formats_change_the_spelling_and_not_the_value() {
        let mut dice = Dice::new(2, Stream::SecondRecord, 0);
        let digits =
            |phone: &str| -> String { phone.chars().filter(char::is_ascii_digit).collect() };
        for _ in 0..200 {
            let name = slipped("Jürgen", &mut dice);
            let letters = name.chars().count();
            assert!(name != "Jürgen" && (5..=7).contains(&letters), "{name}");
            assert!(name.starts_with('J'), "{name}");
            let phone = reformatted("+49 30 23125001", &mut dice);
            assert!(digits(&phone).ends_with("3023125001"), "{phone}");
        }
        assert_eq!(without_accents("Großmann"), "Grossmann");
        assert_eq!(without_accents("Élodie"), "Elodie");
    }
}
