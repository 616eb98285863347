//! The map of a CSV file: the role of each column, and the rules by which rows are linked.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;

use crate::score::Field;

/// An invalid map.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMap {
    /// It is not TOML, or has an unknown key.
    #[error("the map cannot be read: {0}")]
    Toml(#[source] toml::de::Error),
    /// It names an unknown role.
    #[error("there is no role `{role}`: use id, {}", names().join(", "))]
    NoRole {
        /// The role as written.
        role: String,
    },
    /// No column has the role `id`.
    #[error("the map names no column for `id`, add `id = \"…\"` to [columns]")]
    NoId,
    /// A rule has no parts, or a part that no column has.
    #[error("rule {rule} matches on `{part}`, which is not a role in [columns]")]
    NoPart {
        /// The number of the rule, from 1.
        rule: usize,
        /// The part; empty if the rule has none.
        part: String,
    },
}

/// The roles of columns, and the exact rules.
#[derive(Debug, Clone)]
pub struct Map {
    pub(super) id: String,
    pub(super) fields: BTreeMap<Field, String>,
    pub(super) rules: Vec<Vec<Field>>,
    /// The region of numbers and codes without a country, ISO 3166-1 alpha-2.
    pub(super) region: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    columns: BTreeMap<String, String>,
    #[serde(default)]
    rule: Vec<Rule>,
    region: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(rename = "match")]
    parts: Vec<String>,
}

impl FromStr for Map {
    type Err = InvalidMap;

    fn from_str(text: &str) -> Result<Self, InvalidMap> {
        let mut written: Written = toml::from_str(text).map_err(InvalidMap::Toml)?;
        let id = written.columns.remove("id").ok_or(InvalidMap::NoId)?;
        let mut fields = BTreeMap::new();
        for (role, column) in written.columns {
            match field(&role) {
                Some(field) => drop(fields.insert(field, column.trim().to_owned())),
                None => return Err(InvalidMap::NoRole { role }),
            }
        }
        let mut rules = Vec::new();
        for (at, rule) in written.rule.into_iter().enumerate() {
            let no_part = |part: &str| InvalidMap::NoPart {
                rule: at + 1,
                part: part.to_owned(),
            };
            let known = |part: &String| {
                let known = field(part).filter(|field| fields.contains_key(field));
                known.ok_or_else(|| no_part(part))
            };
            let parts: Vec<Field> = rule.parts.iter().map(known).collect::<Result<_, _>>()?;
            if parts.is_empty() {
                return Err(no_part(""));
            }
            rules.push(parts);
        }
        Ok(Self {
            id: id.trim().to_owned(),
            fields,
            rules,
            region: written.region.map(|region| region.to_ascii_uppercase()),
        })
    }
}

impl Map {
    /// The name of a rule, made from its parts.
    pub(super) fn rule_name(&self, rule: usize) -> String {
        let parts = self.rules[rule].iter().map(|field| field.name());
        parts.collect::<Vec<_>>().join("+")
    }
}

fn field(role: &str) -> Option<Field> {
    Field::ALL.into_iter().find(|field| field.name() == role)
}

fn names() -> Vec<&'static str> {
    Field::ALL.iter().map(|field| field.name()).collect()
}
