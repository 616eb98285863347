//! Exact rules over a set of records: which of them are one person.
//!
//! The result depends on the set only, not on its order: records are processed in canonical order, and a
//! value belongs to the person of the first record that has it. A record whose values belong to nobody is a
//! new person. If they belong to one person, the record is that person's. If they belong to several, it is
//! ambiguous: it has no person until somebody decides, and its values stay with the persons who have them.
//! Values never link two records with different dates of birth: the value then belongs to both persons.
//! Nothing is merged by guess.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// The order of a record among others: the most authoritative source first, then the time of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order {
    /// How authoritative its provider is; 0 is the most.
    pub authority: u8,
    /// When its source created it, in microseconds.
    pub created: i64,
    /// The index of its provider among all, by name.
    pub provider: u16,
    /// The first half of the SHA-256 of its id there.
    pub digest: [u8; 16],
}

/// How authoritative a provider is on who a person is; 0 is the most. Unknown providers come after shops and
/// before mailing lists.
pub fn authority(provider: &str) -> u8 {
    match provider {
        "qbo" => 0,
        "shopify" => 1,
        "amazon" => 2,
        "shipstation" => 3,
        "hubspot" => 5,
        "klaviyo" => 6,
        "manual" => 7,
        _ => 4,
    }
}

/// The treatment of a record that matches several persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AmbiguityPolicy {
    /// It waits for a decision.
    #[default]
    Review,
    /// The persons are merged.
    Merge,
}

/// A decision about two records, given as indices in [`Records`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Both persons are one.
    Same(u32, u32),
    /// The first belongs to the person of the second, whoever else has its values.
    Belongs(u32, u32),
    /// Their values never link them.
    Different(u32, u32),
}

/// A set of records: the order, the name and one value per rule of each.
#[derive(Debug, Clone, Default)]
pub struct Records {
    rules: usize,
    orders: Vec<Order>,
    names: Vec<u64>,
    births: Vec<u64>,
    values: Vec<u128>,
}

/// The result of a resolution: which records are one person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolution {
    /// The person of each record, as an index in `persons`; `None` if it is ambiguous.
    pub person: Vec<Option<u32>>,
    /// The records of each person in canonical order; empty if the person was merged into another.
    pub persons: Vec<Vec<u32>>,
    /// The rule by which a record was linked to earlier ones.
    pub linked_by: Vec<Option<u8>>,
    /// Records that wait, in canonical order.
    pub ambiguous: Vec<Ambiguous>,
}

/// A record that matches several persons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ambiguous {
    /// The record.
    pub record: u32,
    /// The matching rules, each with the person, as an index in [`Resolution::persons`].
    pub candidates: Vec<(u8, u32)>,
}

/// A map by numbers that are already hashes.
pub type ValueMap<V> = HashMap<u128, V, BuildHasherDefault<AsIs>>;
/// A set of such values.
pub type ValueSet = HashSet<u128, BuildHasherDefault<AsIs>>;

/// A hasher that takes the bits of the number itself.
#[derive(Debug, Default)]
pub struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = (number as u64) ^ ((number >> 64) as u64);
    }
}

impl Records {
    /// An empty set; each record will have one value per rule, `rules` in all.
    pub fn new(rules: usize) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// Adds a record. A `name`, `birth` or value of 0 means that the record has none. Values of different
    /// rules must differ.
    ///
    /// # Panics
    /// There are not as many values as rules.
    pub fn push(&mut self, order: Order, name: u64, birth: u64, values: &[u128]) {
        assert_eq!(values.len(), self.rules, "a value for each rule");
        self.orders.push(order);
        self.names.push(name);
        self.births.push(birth);
        self.values.extend_from_slice(values);
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.orders.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// The values of a record, one per rule.
    pub fn values(&self, record: u32) -> &[u128] {
        let begin = record as usize * self.rules;
        &self.values[begin..begin + self.rules]
    }

    /// Removes values that records with more than `most` different names share.
    pub fn without_shared(mut self, most: usize) -> Self {
        let mut carriers: ValueMap<u32> = ValueMap::default();
        for value in self.values.iter().filter(|value| **value != 0) {
            *carriers.entry(*value).or_default() += 1;
        }
        // Only of what many carry does it matter how many names there are.
        let mut names: ValueMap<BTreeSet<u64>> = ValueMap::default();
        for (at, value) in self.values.iter().enumerate() {
            let name = self.names[at / self.rules];
            let is_of_many = carriers
                .get(value)
                .is_some_and(|many| *many as usize > most);
            if is_of_many && name != 0 {
                names.entry(*value).or_default().insert(name);
            }
        }
        names.retain(|_, names| names.len() > most);
        if !names.is_empty() {
            let shared = |value: &&mut u128| names.contains_key(*value);
            self.values
                .iter_mut()
                .filter(shared)
                .for_each(|value| *value = 0);
        }
        self
    }

    /// Indices of the records in canonical order.
    pub fn in_order(&self) -> Vec<u32> {
        let count = u32::try_from(self.len()).expect("fewer than four billion records");
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_unstable_by_key(|at| self.orders[*at as usize]);
        order
    }
}

/// Resolves a set of records to persons, by their values and by the decisions about them.
pub fn resolve(records: &Records, decisions: &[Decision], bridges: AmbiguityPolicy) -> Resolution {
    let mut resolving = Resolving::of(records, decisions, bridges);
    for record in records.in_order() {
        resolving.place(record);
    }
    resolving.finish()
}

struct Resolving<'a> {
    records: &'a Records,
    bridges: AmbiguityPolicy,
    same: HashMap<u32, Vec<u32>>,
    belongs: HashMap<u32, Vec<u32>>,
    different: HashMap<u32, Vec<u32>>,
    /// The person to whom each value belongs, before merges of that person.
    owners: ValueMap<u32>,
    /// Further persons to whom a value belongs: they have other dates of birth than those before them.
    others: ValueMap<Vec<u32>>,
    /// Dates of birth of persons; several if records were decided to be one person.
    births: HashMap<u32, Vec<u64>>,
    person: Vec<Option<u32>>,
    /// The person that each person was merged into: itself, or an earlier one.
    became: Vec<u32>,
    linked_by: Vec<Option<u8>>,
    waiting: Vec<Ambiguous>,
}

impl<'a> Resolving<'a> {
    fn of(records: &'a Records, decisions: &[Decision], bridges: AmbiguityPolicy) -> Self {
        let mut resolving = Self {
            records,
            bridges,
            same: HashMap::new(),
            belongs: HashMap::new(),
            different: HashMap::new(),
            owners: ValueMap::default(),
            others: ValueMap::default(),
            births: HashMap::new(),
            person: vec![None; records.len()],
            became: Vec::new(),
            linked_by: vec![None; records.len()],
            waiting: Vec::new(),
        };
        for decision in decisions {
            let (one, other, notes) = match *decision {
                Decision::Same(one, other) => (one, other, &mut resolving.same),
                Decision::Belongs(one, other) => {
                    resolving.belongs.entry(one).or_default().push(other);
                    continue;
                }
                Decision::Different(one, other) => (one, other, &mut resolving.different),
            };
            notes.entry(one).or_default().push(other);
            notes.entry(other).or_default().push(one);
        }
        resolving
    }

    fn place(&mut self, record: u32) {
        let candidates = self.candidates(record);
        let mut persons: Vec<u32> = candidates.iter().map(|(_, person)| *person).collect();
        persons.sort_unstable();
        persons.dedup();
        let chosen = self.persons_of(&self.belongs, record);
        let same = self.persons_of(&self.same, record);
        if let [one] = chosen.as_slice() {
            persons = vec![*one];
        } else if let (2.., [one, ..]) = (persons.len(), same.as_slice()) {
            persons = vec![*one];
        }
        let person = match persons.as_slice() {
            [] => {
                let person = self.became.len() as u32;
                self.became.push(person);
                person
            }
            [one] => *one,
            [first, others @ ..] if self.bridges == AmbiguityPolicy::Merge => {
                let (first, others) = (*first, others.to_vec());
                others
                    .into_iter()
                    .for_each(|other| self.unite(first, other));
                first
            }
            _ => {
                self.waiting.push(Ambiguous { record, candidates });
                return;
            }
        };
        self.linked_by[record as usize] = candidates
            .iter()
            .find(|(_, of)| *of == person)
            .map(|(rule, _)| *rule);
        self.person[record as usize] = Some(person);
        self.note_birth(person, self.records.births[record as usize]);
        self.own(person, record);
        for other in same {
            self.unite(person, other);
        }
    }

    /// The persons to whom the values of a record belong, without those that it was decided not to be.
    fn candidates(&self, record: u32) -> Vec<(u8, u32)> {
        let not = self.persons_of(&self.different, record);
        let birth = self.records.births[record as usize];
        let mut found = Vec::new();
        for (rule, value) in (0_u8..).zip(self.records.values(record)) {
            let first = self.owners.get(value).filter(|_| *value != 0);
            let others = self.others.get(value).filter(|_| *value != 0);
            for owner in first.into_iter().chain(others.into_iter().flatten()) {
                let person = self.now(*owner);
                let is_one = !not.contains(&person) && !self.is_born_otherwise(person, birth);
                if is_one && !found.contains(&(rule, person)) {
                    found.push((rule, person));
                }
            }
        }
        found
    }

    /// Assigns the values of a record to its person. A value that already belongs to a person gets a second
    /// one only if both have dates of birth that differ.
    fn own(&mut self, person: u32, record: u32) {
        let values = self.records.values(record).iter();
        for value in values.filter(|value| **value != 0) {
            let first = *self.owners.entry(*value).or_insert(person);
            let births = self.births.get(&person).into_iter().flatten();
            let is_other = |owner: u32| {
                let owner = self.now(owner);
                let mut births = births.clone();
                owner != person && births.all(|birth| self.is_born_otherwise(owner, *birth))
            };
            let has_birth = births.clone().next().is_some();
            if has_birth && is_other(first) {
                let others = self.others.get(value).into_iter().flatten();
                if others.copied().all(is_other) {
                    self.others.entry(*value).or_default().push(person);
                }
            }
        }
    }

    /// Whether a person has dates of birth that all differ from this one, as far as both are known.
    fn is_born_otherwise(&self, person: u32, birth: u64) -> bool {
        let known = self.births.get(&person).filter(|_| birth != 0);
        known.is_some_and(|known| !known.contains(&birth))
    }

    fn note_birth(&mut self, person: u32, birth: u64) {
        if birth != 0 {
            let known = self.births.entry(person).or_default();
            if !known.contains(&birth) {
                known.push(birth);
            }
        }
    }

    /// The persons of the records that a decision names together with this one.
    fn persons_of(&self, decisions: &HashMap<u32, Vec<u32>>, record: u32) -> Vec<u32> {
        let others = decisions.get(&record).into_iter().flatten();
        let mut persons: Vec<u32> = others
            .filter_map(|other| Some(self.now(self.person[*other as usize]?)))
            .collect();
        persons.sort_unstable();
        persons.dedup();
        persons
    }

    /// The person that a person was merged into.
    fn now(&self, mut person: u32) -> u32 {
        while self.became[person as usize] != person {
            person = self.became[person as usize];
        }
        person
    }

    fn unite(&mut self, one: u32, other: u32) {
        let (one, other) = (self.now(one), self.now(other));
        let (first, second) = (one.min(other), one.max(other));
        self.became[second as usize] = first;
        if first != second {
            for birth in self.births.remove(&second).unwrap_or_default() {
                self.note_birth(first, birth);
            }
        }
    }

    fn finish(mut self) -> Resolution {
        let mut persons = vec![Vec::new(); self.became.len()];
        for record in self.records.in_order() {
            let Some(person) = self.person[record as usize] else {
                continue;
            };
            let person = self.now(person);
            self.person[record as usize] = Some(person);
            persons[person as usize].push(record);
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        for one in &mut waiting {
            one.candidates
                .iter_mut()
                .for_each(|(_, person)| *person = self.now(*person));
        }
        Resolution {
            person: self.person,
            persons,
            linked_by: self.linked_by,
            ambiguous: waiting,
        }
    }
}

#[cfg(test)]
mod tests;
