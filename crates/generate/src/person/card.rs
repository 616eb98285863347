//! Contact cards: the correct name, address, e-mail address and phone number of a person.

use std::collections::BTreeMap;

use super::{Numbers, Subject};
use crate::countries::{Home, plain};
use crate::dice::Dice;
use crate::error::GenerateError;
use crate::output::{Output, Table};

/// The provider of the first records: the mappings of rollbook's own columns, which also ingest facts under
/// this name.
pub(super) const FIRST_PROVIDER: &str = "native";

/// Names and addresses of a person.
#[derive(Debug)]
pub(super) struct Card {
    pub(super) first_name: &'static str,
    pub(super) last_name: &'static str,
    pub(super) email: String,
    pub(super) phone: Option<String>,
    /// City, region, postal code.
    pub(super) city: (&'static str, &'static str, &'static str),
    pub(super) home: Home,
}

impl Card {
    /// A random contact card; `phones` counts the phone numbers already used in each country.
    pub(super) fn draw(
        subject: &Subject<'_>,
        dice: &mut Dice,
        phones: &mut BTreeMap<&'static str, u64>,
    ) -> Self {
        let country = subject.profile.country;
        let with_phone = country.phones.as_ref().filter(|_| dice.chance(600));
        let phone = with_phone.and_then(|numbers| {
            numbers.number(Numbers::take(phones.entry(country.code).or_default()))
        });
        let first_name = dice.pick(country.first_names);
        let last_name = dice.pick(country.last_names);
        Self {
            first_name,
            last_name,
            email: email(first_name, last_name, subject.number, dice),
            phone,
            city: dice.pick(country.cities),
            home: Home::draw(country.code, dice),
        }
    }

    /// Writes the address if the shop knows it: nearly all buyers give one, few others do.
    pub(super) fn write_address(
        &self,
        subject: &Subject<'_>,
        numbers: &mut Numbers,
        output: &mut Output,
    ) -> Result<(), GenerateError> {
        let bought = subject.profile.customer_since.is_some();
        if !bought && !subject.number.is_multiple_of(4) {
            return Ok(());
        }
        let record = Record {
            provider: FIRST_PROVIDER,
            kind: 'P',
            number: subject.number,
        };
        record.write_address(self, &self.home.in_full(), subject, numbers, output)
    }
}

/// A record of a person that addresses belong to.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) provider: &'static str,
    /// The letter before the number in its external id.
    pub(super) kind: char,
    pub(super) number: u64,
}

impl Record {
    pub(super) fn write_address(
        &self,
        card: &Card,
        line: &str,
        subject: &Subject<'_>,
        numbers: &mut Numbers,
        output: &mut Output,
    ) -> Result<(), GenerateError> {
        let (city, region, postal_code) = card.city;
        let address = Numbers::take(&mut numbers.address);
        let row = output.row(Table::Addresses).id('W', address);
        let row = row.id(self.kind, self.number).text("person");
        let row = row.id(self.kind, self.number).text("home").text(line);
        let row = row.text(city).text(region).text(postal_code);
        row.text(subject.profile.country.code)
            .flag(true)
            .text(self.provider)
            .end()
    }
}

fn email(first: &str, last: &str, number: u64, dice: &mut Dice) -> String {
    let mut address = String::with_capacity(48);
    plain(first, &mut address);
    address.push('.');
    plain(last, &mut address);
    address.push_str(&(number + 1).to_string());
    address.push_str(if dice.chance(600) {
        "@example.com"
    } else {
        "@example.org"
    });
    address
}
