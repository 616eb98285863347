//! JSON objects without repeated names: of two members with one name, serde_json would keep the last, and another
//! reader of the same token the first.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Why a text is not such an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotStrict {
    /// It is no JSON object.
    Malformed,
    /// A name is there twice, at any depth.
    Repeated,
}

/// Parses an object.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, NotStrict> {
    let repeated = Cell::new(false);
    let seed = Strict {
        repeated: &repeated,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = seed.deserialize(&mut deserializer);
    let parsed = parsed.and_then(|value| deserializer.end().map(|()| value));
    match parsed {
        Ok(Value::Object(members)) => Ok(members),
        _ if repeated.get() => Err(NotStrict::Repeated),
        _ => Err(NotStrict::Malformed),
    }
}

/// Reads any value, and notes whether a name was repeated.
#[derive(Clone, Copy)]
struct Strict<'a> {
    repeated: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(entry) = entries.next_element_seed(self)? {
            read.push(entry);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self)?;
            if read.insert(name, value).is_some() {
                self.repeated.set(true);
                return Err(Error::custom("a name is repeated"));
            }
        }
        Ok(Value::Object(read))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{NotStrict, object};

    #[test]
    fn objects_are_parsed_as_serde_json_does() {
        let text = r#"{"a": [1, -2, 3.5, true, null, {"b": "\u00e9"}], "c": {"a": {}}, "": "x"}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(Value::Object(object(text.as_bytes()).unwrap()), expected);
        assert_eq!(json!(object(b" {} ").unwrap()), json!({}));
    }

    #[test]
    fn repeated_names_are_found_at_any_depth_and_however_they_are_written() {
        for text in [
            r#"{"exp": 1, "exp": 2}"#,
            r#"{"exp": 1, "\u0065xp": 1}"#,
            r#"{"a": {"b": 1, "b": 1}}"#,
            r#"{"a": [[{"b": 1, "c": 2, "b": null}]]}"#,
        ] {
            assert_eq!(object(text.as_bytes()), Err(NotStrict::Repeated), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
        for text in [
            "",
            "null",
            "[]",
            "1",
            "{",
            "{} {}",
            r#"{"a" 1}"#,
            r#"{"a": NaN}"#,
            &deep,
        ] {
            assert_eq!(object(text.as_bytes()), Err(NotStrict::Malformed), "{text}");
        }
        assert_eq!(object(b"{\"a\": \"\xff\"}"), Err(NotStrict::Malformed));
        assert_eq!(object(b"\xef\xbb\xbf{}"), Err(NotStrict::Malformed));
    }
}
