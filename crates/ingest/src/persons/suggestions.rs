//! Suggested pairs: persons who may be the same, but are not linked by an exact rule. Members of one
//! household with a missing or short first name, and persons with equal values but different dates of
//! birth.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use rollbook_identity::resolve::{ValueMap, ValueSet};
use rollbook_identity::shared::MOST_NAMES;
use rollbook_identity::token::MatchRule;
use rollbook_lake::table::provider::read_file;
use rollbook_lake::{Lake, State};
use rollbook_model::tables::IDENTITIES;

use crate::IngestError;
use crate::persons::decisions::{Decisions, Verdict};
use crate::persons::match_keys::{FamilyMember, MatchKeyIndex};
use crate::persons::records::{self, PersonRecord};
use crate::persons::review::{Candidate, Review};

/// Suggested pairs as open reviews: for each two persons, the later record with the first record of the other
/// person as its candidate.
pub(crate) async fn suggested(
    lake: &Lake,
    state: &State,
    known: &MatchKeyIndex,
    decisions: &Decisions,
) -> Result<Vec<Review>, IngestError> {
    let people = PersonKeys::of(lake, state, known, decisions).await?;
    let mut pairs = people.households();
    pairs.extend(people.born_otherwise());
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let persons: BTreeSet<i64> = pairs.iter().flat_map(|(a, b, _)| [*a, *b]).collect();
    let persons: Vec<i64> = persons.into_iter().collect();
    let mut first: HashMap<i64, PersonRecord> = HashMap::new();
    for record in records::of_persons(lake, state, &persons).await? {
        let order = |one: &PersonRecord| (one.order, one.provider.clone());
        match first.get(&record.before) {
            Some(before) if order(before) <= order(&record) => {}
            _ => drop(first.insert(record.before, record)),
        }
    }
    let mut reviews: BTreeMap<i64, Review> = BTreeMap::new();
    for (a, b, match_rule) in pairs {
        let (Some(one), Some(other)) = (first.get(&a), first.get(&b)) else {
            continue;
        };
        let order = |one: &PersonRecord| (one.order, one.provider.clone());
        let (earlier, later) = match order(one) <= order(other) {
            true => (one, other),
            false => (other, one),
        };
        let review = reviews.entry(later.identity).or_insert_with(|| Review {
            identity_id: later.identity,
            provider: later.provider.to_string(),
            external_id: later.external_id.to_string(),
            person_id: later.before,
            candidates: Vec::new(),
            later: decisions.is_later(later.identity),
        });
        review.candidates.push(Candidate {
            rule: match_rule.name(),
            person_id: earlier.before,
        });
    }
    Ok(reviews.into_values().collect())
}

/// The records of persons with their match keys.
struct PersonKeys<'a> {
    known: &'a MatchKeyIndex,
    decisions: &'a Decisions,
    person: HashMap<i64, i64>,
    /// Pairs of persons that were decided to be different.
    apart: HashSet<[i64; 2]>,
}

impl<'a> PersonKeys<'a> {
    async fn of(
        lake: &Lake,
        state: &State,
        known: &'a MatchKeyIndex,
        decisions: &'a Decisions,
    ) -> Result<Self, IngestError> {
        let mut person = HashMap::new();
        let columns = Some(&["identity_id", "person_id"][..]);
        for file in &state.table(IDENTITIES.name).files {
            for batch in read_file(lake, IDENTITIES, file, columns).await? {
                let batch = batch.map_err(IngestError::rows(IDENTITIES.name, "read"))?;
                let identities = batch["identity_id"].as_primitive::<Int64Type>().values();
                let persons = batch["person_id"].as_primitive::<Int64Type>().values();
                let records = identities.iter().copied().zip(persons.iter().copied());
                person.extend(records.filter(|(_, person)| *person != 0));
            }
        }
        let different = decisions.all.iter();
        let different = different.filter(|one| one.verdict == Verdict::Different);
        let pairs = different.flat_map(|one| &one.pairs);
        let apart = pairs.filter_map(|[a, b]| Some(pair(*person.get(a)?, *person.get(b)?)));
        Ok(Self {
            known,
            decisions,
            apart: apart.collect(),
            person,
        })
    }

    /// Records with their persons.
    fn records(&self) -> impl Iterator<Item = (i64, &crate::persons::match_keys::MatchKeys)> {
        let records = self.known.all();
        records.filter_map(|(identity, keys)| Some((*self.person.get(&identity)?, keys)))
    }

    /// Persons with the same last name and address whose first names do not distinguish them.
    fn households(&self) -> BTreeSet<(i64, i64, MatchRule)> {
        let families = carriers(
            self.records()
                .map(|(person, keys)| (keys.household, person)),
        );
        let members: HashSet<i64> = families.values().flatten().copied().collect();
        let mut names: HashMap<i64, Vec<FamilyMember>> = HashMap::new();
        for (person, keys) in self
            .records()
            .filter(|(person, _)| members.contains(person))
        {
            names.entry(person).or_default().push(keys.who);
        }
        let may_be = |a: i64, b: i64| may_be_one(&names[&a], &names[&b]);
        let mut found = BTreeSet::new();
        for family in families.values() {
            for (a, b) in pairs(family) {
                if !self.apart.contains(&[a, b]) && may_be(a, b) {
                    found.insert((a, b, MatchRule::Address));
                }
            }
        }
        found
    }

    /// Persons with the same address, number or name at an address, but different dates of birth.
    fn born_otherwise(&self) -> BTreeSet<(i64, i64, MatchRule)> {
        let mut births: HashMap<i64, BTreeSet<u64>> = HashMap::new();
        for (person, keys) in self.records().filter(|(_, keys)| keys.who.birth != 0) {
            births.entry(person).or_default().insert(keys.who.birth);
        }
        let mut found = BTreeSet::new();
        for match_rule in MatchRule::ALL {
            let born = self.records().filter(|(one, _)| births.contains_key(one));
            let carriers = carriers(born.map(|(person, keys)| (keys.of(match_rule), person)));
            let values: ValueSet = carriers.keys().copied().collect();
            let shared = self.known.shared(&values, self.decisions);
            for (_, persons) in carriers.iter().filter(|(value, _)| !shared.contains(value)) {
                for (a, b) in pairs(persons) {
                    if !self.apart.contains(&[a, b]) && births[&a].is_disjoint(&births[&b]) {
                        found.insert((a, b, match_rule));
                    }
                }
            }
        }
        found
    }
}

/// The persons who have a value, for values that several but not too many have.
fn carriers(values: impl Iterator<Item = (u128, i64)>) -> ValueMap<BTreeSet<i64>> {
    let mut first: ValueMap<i64> = ValueMap::default();
    let mut several: ValueMap<BTreeSet<i64>> = ValueMap::default();
    for (value, person) in values.filter(|(value, _)| *value != 0) {
        if *first.entry(value).or_insert(person) != person {
            several.entry(value).or_default().insert(person);
        }
    }
    for (value, persons) in &mut several {
        persons.insert(first[value]);
    }
    several.retain(|_, persons| persons.len() <= MOST_NAMES);
    several
}

fn pair(a: i64, b: i64) -> [i64; 2] {
    [a.min(b), a.max(b)]
}

fn pairs(persons: &BTreeSet<i64>) -> impl Iterator<Item = (i64, i64)> {
    let after = |a: &i64| persons.range(a + 1..).copied();
    persons.iter().flat_map(move |a| after(a).map(|b| (*a, b)))
}

/// Whether two persons may be the same by their first names: one has none or only an initial, or one's is the
/// first word of the other's.
fn may_be_one(one: &[FamilyMember], other: &[FamilyMember]) -> bool {
    let any = |is: &dyn Fn(&FamilyMember, &FamilyMember) -> bool| {
        one.iter().any(|a| other.iter().any(|b| is(a, b)))
    };
    let has =
        |all: &[FamilyMember], of: fn(&FamilyMember) -> u64| all.iter().any(|one| of(one) != 0);
    if has(one, |who| who.given) && has(other, |who| who.given) {
        return any(&|a, b| {
            a.given != 0 && b.given != 0 && (a.given == b.first || b.given == a.first)
        });
    }
    let is_open = !has(one, |who| who.initial) || !has(other, |who| who.initial);
    is_open || any(&|a, b| a.initial != 0 && a.initial == b.initial)
}

#[cfg(test)]
mod tests {
    use super::{FamilyMember, may_be_one};

    #[test]
    fn first_names_and_initials_distinguish_family_members() {
        let who = |given: u64, first: u64, initial: u64| FamilyMember {
            given,
            first,
            initial,
            birth: 0,
        };
        let (john, mary) = (who(1, 1, 10), who(2, 2, 20));
        let (j, nobody) = (who(0, 0, 10), FamilyMember::default());
        let (mary_ann, mary_beth) = (who(3, 2, 20), who(4, 2, 20));
        for (one, other, may_be) in [
            (vec![john], vec![mary], false),
            (vec![john], vec![john], true),
            (vec![john], vec![j], true),
            (vec![mary], vec![j], false),
            (vec![mary], vec![nobody], true),
            (vec![nobody], vec![nobody], true),
            (vec![nobody], vec![j], true),
            (vec![mary], vec![mary_ann], true),
            (vec![mary_ann], vec![mary_beth], false),
            // Another record of that person has the name.
            (vec![nobody, john], vec![mary], false),
        ] {
            assert_eq!(may_be_one(&one, &other), may_be, "{one:?} {other:?}");
            assert_eq!(may_be_one(&other, &one), may_be, "{other:?} {one:?}");
        }
    }
}
