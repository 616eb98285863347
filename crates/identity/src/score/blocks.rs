//! Blocking: only pairs of records that share the values of one of many combinations of fields are
//! compared.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use xxhash_rust::xxh3::xxh3_64;

use super::compare::{Field, Profile};

/// Combinations of fields; a typo in any one field leaves some of them unchanged.
const BLOCKS: [&[Field]; 16] = [
    &[Field::NationalId],
    &[Field::Email],
    &[Field::Phone],
    &[Field::DateOfBirth],
    &[Field::GivenName, Field::Surname],
    &[Field::GivenName, Field::PostalCode],
    &[Field::Surname, Field::PostalCode],
    &[Field::GivenName, Field::City],
    &[Field::Surname, Field::City],
    &[Field::GivenName, Field::StreetNumber],
    &[Field::Surname, Field::StreetNumber],
    &[Field::Line1, Field::StreetNumber],
    &[Field::Line1, Field::PostalCode],
    &[Field::Line1, Field::Surname],
    &[Field::PostalCode, Field::StreetNumber],
    &[Field::Line2, Field::PostalCode],
];

/// Maximum number of records per combination; more frequent ones carry little information.
const MOST: usize = 200;

/// Pairs of records that share a combination of values, each pair once, in order. With two files, `across` is
/// the number of records of the first, and only pairs across the files count.
pub fn pairs(profiles: &[Profile], across: Option<u32>) -> Vec<(u32, u32)> {
    let mut pairs = Vec::new();
    for fields in BLOCKS {
        let mut blocks: HashMap<u64, Vec<u32>> = HashMap::new();
        for (at, profile) in (0..).zip(profiles) {
            if let Some(key) = key(profile, fields) {
                match blocks.entry(key) {
                    Entry::Vacant(entry) => drop(entry.insert(vec![at])),
                    Entry::Occupied(mut entry) => entry.get_mut().push(at),
                }
            }
        }
        for block in blocks.values().filter(|block| block.len() <= MOST) {
            for (place, a) in block.iter().enumerate() {
                let others = block[place + 1..].iter().map(|b| (*a, *b));
                let is_wanted =
                    |(a, b): &(u32, u32)| across.is_none_or(|first| *a < first && *b >= first);
                pairs.extend(others.filter(is_wanted));
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
    }
    pairs
}

fn key(profile: &Profile, fields: &[Field]) -> Option<u64> {
    let mut text = String::new();
    for field in fields {
        text.push_str(profile.get(*field)?);
        text.push('\0');
    }
    Some(xxh3_64(text.as_bytes()))
}
