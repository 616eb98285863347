//! Resolving a component: which of its records are one person.

use std::collections::{BTreeMap, HashMap, HashSet};

use rollbook_identity::resolve::{AmbiguityPolicy, Records, Resolution, resolve};
use rollbook_identity::token::MatchRule;

use crate::persons::component::Component;
use crate::persons::decisions::Decisions;
use crate::persons::match_keys::{MatchKeyIndex, RULES};
use crate::persons::records::PersonRecord;

/// The groups of records that are one person each.
pub(crate) struct Resolved {
    resolution: Resolution,
}

impl Component {
    /// Resolves the records of the component to groups, one per person.
    pub(crate) fn resolve(
        &self,
        known: &MatchKeyIndex,
        records: &[PersonRecord],
        decisions: &Decisions,
    ) -> Resolved {
        let mut set = Records::new(RULES);
        let providers: Vec<&str> = {
            let mut all: Vec<&str> = records.iter().map(|record| &*record.provider).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        for record in records.iter() {
            let keys = known.of(record.identity).unwrap_or_default();
            let value = |value: u128| match self.shared.contains(&value) {
                true => 0,
                false => value,
            };
            let mut order = record.order;
            let place = providers.binary_search(&&*record.provider).unwrap_or(0);
            order.provider = u16::try_from(place).unwrap_or(u16::MAX);
            let values = keys.values.map(value);
            set.push(order, keys.name as u64, keys.who.birth, &values);
        }
        let places: HashMap<i64, u32> = (0..)
            .zip(records.iter())
            .map(|(at, record)| (record.identity, at))
            .collect();
        let decided = decisions.among(&places);
        Resolved {
            resolution: resolve(&set, &decided, AmbiguityPolicy::Review),
        }
    }
}

impl Resolved {
    /// The number of groups that need a new person id.
    pub(crate) fn unnamed(&self, records: &[PersonRecord]) -> u64 {
        let mut count = 0;
        self.persons(records, || {
            count += 1;
            -1
        });
        count
    }

    /// The person of each record; 0 if it is ambiguous. A group keeps the person of its first record that has
    /// or once had one. A person stays with one group only.
    pub(crate) fn persons(
        &self,
        records: &[PersonRecord],
        mut next: impl FnMut() -> i64,
    ) -> Vec<i64> {
        let mut persons = vec![0; records.len()];
        let mut taken: HashSet<i64> = HashSet::new();
        for group in self
            .resolution
            .persons
            .iter()
            .filter(|group| !group.is_empty())
        {
            let of = |had: fn(&PersonRecord) -> i64| {
                let had = group.iter().map(|at| had(&records[*at as usize]));
                had.filter(|person| *person != 0).collect::<Vec<_>>()
            };
            let once = group.iter();
            let once = once.flat_map(|at| records[*at as usize].former_persons.iter().copied());
            let had = of(|record| record.before).into_iter();
            let had = had.chain(of(|record| record.person)).chain(once);
            let mut had = had;
            let person = had.find(|person| !taken.contains(person));
            let person = person.unwrap_or_else(&mut next);
            taken.insert(person);
            for at in group {
                persons[*at as usize] = person;
            }
        }
        persons
    }

    /// The rule that linked a record.
    pub(crate) fn rule(&self, record: usize) -> Option<MatchRule> {
        self.resolution.linked_by[record].map(|rule| MatchRule::ALL[rule as usize])
    }

    /// The candidate persons of ambiguous records, with the rule by which they match.
    pub(crate) fn candidates(&self, persons: &[i64]) -> BTreeMap<usize, Vec<(MatchRule, i64)>> {
        let waiting = self.resolution.ambiguous.iter().map(|one| {
            let of_group = |(rule, group): &(u8, u32)| {
                let first = self.resolution.persons[*group as usize].first()?;
                Some((MatchRule::ALL[*rule as usize], persons[*first as usize]))
            };
            (
                one.record as usize,
                one.candidates.iter().filter_map(of_group).collect(),
            )
        });
        waiting.collect()
    }
}
