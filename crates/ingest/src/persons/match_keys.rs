//! Match keys of records: tokens of their values for the exact match rules, in the vault of
//! `identities`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Date32Type, Int64Type};
use rollbook_identity::normalise::address::{Address, household};
use rollbook_identity::normalise::{VERSION, date, email, given, name, phone};
use rollbook_identity::resolve::{ValueMap, ValueSet};
use rollbook_identity::shared::{MOST_NAMES, Shared};
use rollbook_identity::token::{MatchRule, Token, Tokens};
use rollbook_lake::Lake;
use rollbook_lake::vault::Vault;
use rollbook_model::shares::in_shares;
use rollbook_model::{Shape, tables::IDENTITIES};

use crate::IngestError;
use crate::persons::component::Component;
use crate::persons::decisions::Decisions;
use crate::rows::identities::Identities;
use crate::rows::stage::Stage;

/// Number of exact match rules.
pub(crate) const RULES: usize = MatchRule::ALL.len();
/// Rows per thread, at least.
const FEWEST: usize = 512;
const COLUMNS: [&str; RULES] = ["email_token", "phone_token", "address_token"];

/// The match keys of one record; 0 where it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MatchKeys {
    pub(crate) name: u128,
    pub(crate) values: [u128; RULES],
    /// Token of the surname and address.
    pub(crate) household: u128,
    /// The member of the household.
    pub(crate) who: FamilyMember,
}

/// Tokens that distinguish members of a household; 0 for missing values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FamilyMember {
    /// The whole first name.
    pub(crate) given: u64,
    /// Its first word.
    pub(crate) first: u64,
    /// Its first letter.
    pub(crate) initial: u64,
    /// The date of birth.
    pub(crate) birth: u64,
}

impl MatchKeys {
    /// Household and member as the vault stores them; `None` where there is neither.
    fn family(&self) -> Option<String> {
        let (household, who) = (self.household, self.who);
        let FamilyMember {
            given,
            first,
            initial,
            birth,
        } = who;
        let is_something = household != 0 || who != FamilyMember::default();
        is_something.then(|| {
            format!("{VERSION}:{household:032x}{given:016x}{first:016x}{initial:016x}{birth:016x}")
        })
    }

    /// Reads what [`Self::family`] wrote; tokens of another version of the rules are ignored.
    fn with_family(self, text: &str) -> Self {
        let digits = text.strip_prefix(&format!("{VERSION}:")).unwrap_or("");
        let part = |begin: usize| {
            let part = digits.get(begin..begin + 16);
            let part = part.and_then(|part| u64::from_str_radix(part, 16).ok());
            part.unwrap_or(0)
        };
        Self {
            household: u128::from(part(0)) << 64 | u128::from(part(16)),
            who: FamilyMember {
                given: part(32),
                first: part(48),
                initial: part(64),
                birth: part(80),
            },
            ..self
        }
    }

    /// The token for a match rule; 0 if the record has none.
    pub(crate) fn of(&self, match_rule: MatchRule) -> u128 {
        let rule = MatchRule::ALL.iter().position(|known| *known == match_rule);
        rule.map_or(0, |rule| self.values[rule])
    }
}

/// The match keys of all records.
pub(crate) struct MatchKeyIndex {
    /// Record ids; those that came from the vault are in order.
    identities: Vec<i64>,
    keys: Vec<MatchKeys>,
    /// Indices of the records that were added later.
    later: HashMap<i64, usize>,
}

/// The match keys of the staged records of a run, by record. A record keeps its keys if its source deletes
/// it, or if the run has an older version or one that does not replace the stored one.
pub(crate) fn of_stages(
    identities: &Identities,
    stages: &[&Stage],
    maker: &MatchKeyMaker<'_>,
    known: &MatchKeyIndex,
) -> Result<HashMap<i64, MatchKeys>, IngestError> {
    let mut staged = HashMap::new();
    for stage in stages
        .iter()
        .filter(|stage| stage.def.shape == Shape::Person)
    {
        for piece in stage.batches()? {
            let piece = piece?;
            let records = identities.find(stage, &piece.rows);
            let mut rows = Vec::new();
            for ((row, version), record) in piece.versions().enumerate().zip(records) {
                let (Some(version), Some(record)) = (version, record) else {
                    continue;
                };
                if version.deleted {
                    continue;
                }
                // A record known from facts alone has no keys yet.
                match known.of(record.identity) {
                    Some(keys) if !version.replaces(&record) => {
                        // An ambiguous record would get a person of its own, as if it were new.
                        if identities.linked.contains_key(&record.identity) {
                            staged.insert(record.identity, keys);
                        }
                    }
                    _ => rows.push((record.identity, row)),
                }
            }
            staged.extend(maker.of_all(&piece.rows, &rows));
        }
    }
    Ok(staged)
}

/// Derives match keys from the values of rows.
pub(crate) struct MatchKeyMaker<'a> {
    pub(crate) tokens: &'a Tokens,
    pub(crate) shared: &'a Shared,
    pub(crate) region: Option<&'a str>,
}

impl MatchKeyMaker<'_> {
    /// The match keys of rows, each with the given label. Runs on all cores, since parsing a phone number
    /// takes ten times as long as the rest.
    pub(crate) fn of_all<T: Copy + Send + Sync>(
        &self,
        batch: &RecordBatch,
        rows: &[(T, usize)],
    ) -> Vec<(T, MatchKeys)> {
        let shares = in_shares(rows.len(), FEWEST, |begin, count| {
            let rows = rows[begin..begin + count].iter();
            let keys = rows.map(|(name, row)| (*name, self.of(batch, *row)));
            keys.collect::<Vec<_>>()
        });
        shares.into_iter().flatten().collect()
    }

    fn of(&self, rows: &RecordBatch, row: usize) -> MatchKeys {
        let text = |name: &str| -> &str {
            let column = rows
                .column_by_name(name)
                .and_then(|column| column.as_string_opt::<i32>());
            column
                .filter(|column| column.is_valid(row))
                .map_or("", |column| column.value(row))
        };
        let country = text("country");
        let email = email::email(text("email")).filter(|exact| !self.shared.has_email(exact));
        let region = phone::region(country, self.region);
        let phone = phone::phone(text("phone"), region);
        let phone = phone.filter(|phone| !self.shared.has_phone(&phone.e164));
        let (first, last) = name::names(text("first_name"), text("last_name"));
        let shown = text("display_name");
        let first_name = if first.is_some() {
            text("first_name")
        } else {
            ""
        };
        let given = given::given(first_name, shown, last.as_deref());
        let family = household(&Address {
            surname: last.as_deref(),
            line1: text("address_line1"),
            line2: text("address_line2"),
            city: text("city"),
            region: text("region"),
            postal_code: text("postal_code"),
            country,
        });
        let place = given.whole.as_ref().zip(family.as_ref());
        let place = place.map(|(given, family)| format!("{given}|{family}"));
        let names = [first, last].into_iter().flatten().collect::<Vec<_>>();
        let named = match names.is_empty() {
            true => name::name(shown),
            false => Some(names.join(" ")),
        };
        let value = |match_rule, value: Option<String>| {
            value.map_or(0, |value| self.tokens.of(match_rule, &value).0)
        };
        let short = |kind, value: Option<&String>| {
            value.map_or(0, |value| self.tokens.of_kind(kind, value).0 as u64)
        };
        MatchKeys {
            name: named.map_or(0, |name| u128::from(self.tokens.of_name(&name))),
            values: [
                value(MatchRule::Email, email),
                value(MatchRule::Phone, phone.map(|phone| phone.exact())),
                value(MatchRule::Address, place),
            ],
            household: family.map_or(0, |family| self.tokens.of_kind("household", &family).0),
            who: FamilyMember {
                given: short("given", given.whole.as_ref()),
                first: short("given", given.first.as_ref()),
                initial: short("initial", given.initial.as_ref()),
                birth: short("birth", born(rows, row).as_ref()),
            },
        }
    }
}

/// The date of birth of a row in normal form.
fn born(rows: &RecordBatch, row: usize) -> Option<String> {
    let column = rows.column_by_name("date_of_birth")?;
    if let Some(days) = column.as_primitive_opt::<Date32Type>() {
        return days.is_valid(row).then(|| days.value(row).to_string());
    }
    let texts = column.as_string_opt::<i32>()?;
    let text = texts.is_valid(row).then(|| texts.value(row))?;
    date::date(text)
}

impl MatchKeyIndex {
    /// Loads all match keys from the vault.
    pub(crate) async fn load(lake: &Lake) -> Result<Self, IngestError> {
        let (mut known, mut all) = (Vec::new(), Vec::new());
        for batch in Vault::new(lake, IDENTITIES).batches().await? {
            let batch = batch?;
            let identities = batch["identity_id"].as_primitive::<Int64Type>();
            let columns = COLUMNS.map(|name| batch[name].as_string::<i32>().clone());
            let names = batch["name_token"].as_string::<i32>();
            let families = batch["household_token"].as_string::<i32>();
            // Tokens of another version of the rules are ignored.
            let token = |column: &StringArray, row: usize| -> u128 {
                let text = column.is_valid(row).then(|| column.value(row));
                text.and_then(|text| text.parse::<Token>().ok())
                    .map_or(0, |token| token.0)
            };
            for row in 0..batch.num_rows() {
                let keys = MatchKeys {
                    name: token(names, row),
                    values: [0, 1, 2].map(|rule: usize| token(&columns[rule], row)),
                    ..MatchKeys::default()
                };
                let keys = match families.is_valid(row) {
                    true => keys.with_family(families.value(row)),
                    false => keys,
                };
                known.push(identities.value(row));
                all.push(keys);
            }
        }
        // A run of the vault is in order, and so are runs mostly.
        if !known.is_sorted() {
            let mut both: Vec<(i64, MatchKeys)> = known.into_iter().zip(all).collect();
            both.sort_unstable_by_key(|(identity, _)| *identity);
            (known, all) = both.into_iter().unzip();
        }
        Ok(Self {
            identities: known,
            keys: all,
            later: HashMap::new(),
        })
    }

    /// All records with their match keys.
    pub(crate) fn all(&self) -> impl Iterator<Item = (i64, &MatchKeys)> {
        self.identities.iter().copied().zip(&self.keys)
    }

    fn place(&self, identity: i64) -> Option<usize> {
        let in_order = self.identities.len() - self.later.len();
        let found = self.identities[..in_order].binary_search(&identity).ok();
        found.or_else(|| self.later.get(&identity).copied())
    }

    /// The match keys of a record; `None` if the record is unknown.
    pub(crate) fn of(&self, identity: i64) -> Option<MatchKeys> {
        self.place(identity).map(|at| self.keys[at])
    }

    /// The records that have a token.
    pub(crate) fn with(&self, match_rule: MatchRule, token: Token) -> Vec<i64> {
        let records = self.identities.iter().zip(&self.keys);
        let found = records.filter(|(_, keys)| keys.of(match_rule) == token.0);
        found.map(|(identity, _)| *identity).collect()
    }

    /// Whether no record outside `identities` has the same token for a match rule as `identity`.
    pub(crate) fn is_own(
        &self,
        identities: &HashSet<i64>,
        identity: i64,
        match_rule: MatchRule,
    ) -> bool {
        let carriers = match self.of(identity).unwrap_or_default().of(match_rule) {
            0 => Vec::new(),
            token => self.with(match_rule, Token(token)),
        };
        carriers.iter().all(|carrier| identities.contains(carrier))
    }

    fn put(&mut self, identity: i64, keys: MatchKeys) {
        match self.place(identity) {
            Some(at) => self.keys[at] = keys,
            None => {
                self.later.insert(identity, self.identities.len());
                self.identities.push(identity);
                self.keys.push(keys);
            }
        }
    }

    /// Replaces the match keys of records; returns the connected component that may now resolve differently.
    pub(crate) fn replace(
        &mut self,
        new: &HashMap<i64, MatchKeys>,
        decisions: &Decisions,
    ) -> Component {
        let before: HashMap<i64, MatchKeys> = new
            .keys()
            .filter_map(|identity| Some((*identity, self.of(*identity)?)))
            .collect();
        let mut values = ValueSet::default();
        for keys in before.values().chain(new.values()) {
            values.extend(keys.values.iter().filter(|value| **value != 0));
        }
        let shared_before = self.shared(&values, decisions);
        for (identity, keys) in new {
            self.put(*identity, *keys);
        }
        // Values too common before and after never link records.
        let still = self
            .shared(&values, decisions)
            .intersection(&shared_before)
            .copied()
            .collect();
        let seeds: Vec<i64> = new.keys().copied().collect();
        self.connected(&seeds, values, still, decisions)
    }

    /// The connected component of these records: all that values or decisions connect with them.
    pub(crate) fn around(&self, seeds: &[i64], decisions: &Decisions) -> Component {
        self.connected(seeds, ValueSet::default(), ValueSet::default(), decisions)
    }

    /// All records that are connected with these records or values, not following the values in `not`.
    fn connected(
        &self,
        seeds: &[i64],
        mut values: ValueSet,
        not: ValueSet,
        decisions: &Decisions,
    ) -> Component {
        let mut found: HashSet<i64> = HashSet::new();
        let mut next: Vec<i64> = seeds.to_vec();
        let mut looked = not;
        let mut is_first = true;
        loop {
            let mut fresh = Vec::new();
            for identity in next.drain(..) {
                if found.insert(identity) {
                    fresh.push(identity);
                }
            }
            for identity in &fresh {
                next.extend(decisions.others(*identity));
                values.extend(self.of(*identity).iter().flat_map(|keys| keys.values));
            }
            let mut values = std::mem::take(&mut values);
            values.retain(|value| *value != 0 && !looked.contains(value));
            if !values.is_empty() {
                let shared = self.shared(&values, decisions);
                looked.extend(&values);
                // A value that has just become too common still leads to the records that it linked.
                if !std::mem::take(&mut is_first) {
                    values.retain(|value| !shared.contains(value));
                }
                for (identity, keys) in self.identities.iter().zip(&self.keys) {
                    if keys.values.iter().any(|value| values.contains(value)) {
                        next.push(*identity);
                    }
                }
            }
            if next.iter().all(|identity| found.contains(identity)) {
                return Component::of(found, self.shared(&looked, decisions));
            }
        }
    }

    /// Which of these values never link records: they are blocked, or records with too many names have them.
    pub(crate) fn shared(&self, values: &ValueSet, decisions: &Decisions) -> ValueSet {
        let mut carriers: ValueMap<usize> = ValueMap::default();
        for value in self.keys.iter().flat_map(|keys| keys.values) {
            if value != 0 && values.contains(&value) {
                *carriers.entry(value).or_default() += 1;
            }
        }
        carriers.retain(|_, count| *count > MOST_NAMES);
        // Only of what many carry does it matter how many names there are.
        let mut names: ValueMap<ValueSet> = ValueMap::default();
        if !carriers.is_empty() {
            for keys in self.keys.iter().filter(|keys| keys.name != 0) {
                let of_many = keys
                    .values
                    .iter()
                    .filter(|value| carriers.contains_key(*value));
                for value in of_many {
                    names.entry(*value).or_default().insert(keys.name);
                }
            }
        }
        let many = names
            .into_iter()
            .filter(|(_, names)| names.len() > MOST_NAMES);
        let blocked = decisions.blocked().filter(|value| values.contains(value));
        many.map(|(value, _)| value).chain(blocked).collect()
    }
}

/// Writes match keys to the vault.
pub(crate) async fn store(lake: &Lake, new: &HashMap<i64, MatchKeys>) -> Result<(), IngestError> {
    if new.is_empty() {
        return Ok(());
    }
    let mut new: Vec<(i64, MatchKeys)> = new
        .iter()
        .map(|(identity, keys)| (*identity, *keys))
        .collect();
    new.sort_unstable_by_key(|(identity, _)| *identity);
    type Of<'a> = &'a dyn Fn(&MatchKeys) -> u128;
    let token = |of: Of<'_>| -> ArrayRef {
        let tokens = new.iter().map(|(_, keys)| match of(keys) {
            0 => None,
            value => Some(Token(value).to_string()),
        });
        Arc::new(tokens.collect::<StringArray>())
    };
    let schema = IDENTITIES.vault_schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "identity_id" => {
                let identities = new.iter().map(|(identity, _)| *identity);
                Arc::new(identities.collect::<Int64Array>()) as ArrayRef
            }
            "email_token" => token(&|keys| keys.values[0]),
            "phone_token" => token(&|keys| keys.values[1]),
            "address_token" => token(&|keys| keys.values[2]),
            "household_token" => {
                let families = new.iter().map(|(_, keys)| keys.family());
                Arc::new(families.collect::<StringArray>())
            }
            _ => token(&|keys| keys.name),
        });
    let columns: Vec<ArrayRef> = columns.collect();
    let failed = IngestError::rows(IDENTITIES.name, "assembled");
    let rows = RecordBatch::try_new(schema, columns).map_err(failed)?;
    let mut values = Vault::new(lake, IDENTITIES).put();
    values.write(&rows).await?;
    Ok(values.commit().await?)
}

#[cfg(test)]
mod tests {
    use super::{FamilyMember, MatchKeys};

    #[test]
    fn household_survives_a_round_trip() {
        let keys = MatchKeys {
            household: u128::MAX - 7,
            who: FamilyMember {
                given: 1,
                first: u64::MAX,
                initial: 3,
                birth: 4,
            },
            ..MatchKeys::default()
        };
        let written = keys.family().unwrap();
        assert_eq!(MatchKeys::default().with_family(&written), keys);
        assert_eq!(MatchKeys::default().family(), None);
        // Tokens of other rules tell nothing.
        let other = written.replacen("2:", "1:", 1);
        assert_eq!(
            MatchKeys::default().with_family(&other),
            MatchKeys::default()
        );
    }
}
