//! The document as text, with properties in the order of their declaration.
//!
//! The document is edited as JSON values, whose objects are sorted by key.

use std::collections::HashMap;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The keys of a JSON value in the order of its text.
pub(super) enum Keys {
    Object(Vec<(String, Keys)>),
    List(Vec<Keys>),
    Scalar,
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Keys::Object(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Keys, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Keys::List(items))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Keys, E> {
        Ok(Keys::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Keys, E> {
        Ok(Keys::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Keys, E> {
        Ok(Keys::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Keys, E> {
        Ok(Keys::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Keys, E> {
        Ok(Keys::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Keys, E> {
        Ok(Keys::Scalar)
    }
}

/// A value whose keys have the order of `like`; keys that `like` lacks follow by name.
pub(super) struct InOrder<'a> {
    pub(super) value: &'a Value,
    pub(super) like: Option<&'a Keys>,
}

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Object(entries) => {
                let known = match self.like {
                    Some(Keys::Object(known)) => known.as_slice(),
                    _ => &[],
                };
                let places: HashMap<&str, usize> = known
                    .iter()
                    .enumerate()
                    .map(|(place, (name, _))| (name.as_str(), place))
                    .collect();
                let place = |name: &str| places.get(name).copied();
                let mut entries: Vec<_> = entries.iter().collect();
                entries.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (name, value) in entries {
                    let like = place(name).map(|place| &known[place].1);
                    map.serialize_entry(name, &InOrder { value, like })?;
                }
                map.end()
            }
            Value::Array(items) => {
                serializer.collect_seq(items.iter().enumerate().map(|(place, value)| {
                    let like = match self.like {
                        Some(Keys::List(known)) => known.get(place),
                        _ => None,
                    };
                    InOrder { value, like }
                }))
            }
            scalar => scalar.serialize(serializer),
        }
    }
}
