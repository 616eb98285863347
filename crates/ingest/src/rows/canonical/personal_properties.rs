//! Splits properties into those that a mapping declares personal, and the rest.

use std::fmt;

use arrow::array::{Array, StringArray, StringBuilder};
use regex::{Regex, RegexBuilder};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Levels that a document is taken apart to.
const LEVELS: usize = 64;

/// The keys whose values are personal, wherever in a document they stand, in capitals or not.
#[derive(Debug)]
pub(crate) struct PersonalKeys {
    /// In small letters.
    keys: Vec<String>,
    /// Finds any of them in text of ASCII; `None` where they are too many.
    any: Option<Regex>,
}

/// Columns of documents in two parts.
pub(crate) struct SplitProperties {
    pub(crate) open: StringArray,
    /// The personal part, with the objects and lists around it.
    pub(crate) personal: StringArray,
}

impl PersonalKeys {
    pub(crate) fn new(keys: &[String]) -> Self {
        let keys: Vec<String> = keys.iter().map(|key| key.to_lowercase()).collect();
        let ascii = keys.iter().filter(|key| key.is_ascii());
        let ascii: Vec<String> = ascii.map(|key| regex::escape(key)).collect();
        let any = RegexBuilder::new(&ascii.join("|"))
            .case_insensitive(true)
            .build();
        Self {
            any: any.ok().filter(|_| !ascii.is_empty()),
            keys,
        }
    }

    /// Splits JSON documents: moves personal keys to a second document per row, merged with what each row
    /// `has` there. Documents without personal keys are unchanged.
    pub(crate) fn split_documents(
        &self,
        documents: &StringArray,
        has: &StringArray,
    ) -> SplitProperties {
        let (rows, bytes) = (documents.len(), documents.value_data().len());
        let mut open = StringBuilder::with_capacity(rows, bytes);
        let mut personal = StringBuilder::with_capacity(rows, has.value_data().len());
        for (document, own) in documents.iter().zip(has) {
            match document.and_then(|document| self.parts_of(document)) {
                Some((left, taken)) => {
                    open.append_option(left);
                    personal.append_value(match own {
                        Some(own) => both(own, &taken),
                        None => taken,
                    });
                }
                None => {
                    open.append_option(document);
                    personal.append_option(own);
                }
            }
        }
        SplitProperties {
            open: open.finish(),
            personal: personal.finish(),
        }
    }

    /// What is left of a document and what is personal in it; `None` where nothing is. One that
    /// cannot be taken apart is personal as a whole.
    fn parts_of(&self, document: &str) -> Option<(Option<String>, String)> {
        if !self.may_occur(document) {
            return None;
        }
        match self.split(document, LEVELS) {
            Some(Split { left, taken }) => taken.map(|taken| (Some(left), taken)),
            None => Some((None, document.to_owned())),
        }
    }

    /// Whether a document has one of the keys; true where that takes parsing.
    fn may_occur(&self, document: &str) -> bool {
        let is_plain = document.is_ascii() && !document.contains('\\');
        let any = self.any.as_ref().filter(|_| is_plain);
        any.is_none_or(|any| any.is_match(document))
    }

    fn is_personal(&self, key: &str) -> bool {
        let key = key.to_lowercase();
        self.keys.contains(&key)
    }

    /// Takes a value apart; `None` where it has more levels than that, or is no JSON.
    fn split(&self, value: &str, levels: usize) -> Option<Split> {
        match value.trim_start().as_bytes().first() {
            Some(b'{') => self.split_object(value, levels.checked_sub(1)?),
            Some(b'[') => self.split_list(value, levels.checked_sub(1)?),
            _ => Some(Split {
                left: value.to_owned(),
                taken: None,
            }),
        }
    }

    fn split_object(&self, value: &str, levels: usize) -> Option<Split> {
        let (mut left, mut taken) = (Vec::new(), Vec::new());
        for (key, value) in serde_json::from_str::<Fields<'_>>(value).ok()?.0 {
            let quoted = serde_json::to_string(&key).ok()?;
            let value = value.get();
            if self.is_personal(&key) && value != "null" {
                taken.push(format!("{quoted}:{value}"));
                continue;
            }
            let split = self.split(value, levels)?;
            left.push(format!("{quoted}:{}", split.left));
            taken.extend(split.taken.map(|taken| format!("{quoted}:{taken}")));
        }
        let object = |fields: Vec<String>| format!("{{{}}}", fields.join(","));
        Some(Split {
            left: object(left),
            taken: (!taken.is_empty()).then(|| object(taken)),
        })
    }

    /// What is taken of a list stands at the same places.
    fn split_list(&self, value: &str, levels: usize) -> Option<Split> {
        let (mut left, mut taken, mut any) = (Vec::new(), Vec::new(), false);
        for item in serde_json::from_str::<Vec<&RawValue>>(value).ok()? {
            let split = self.split(item.get(), levels)?;
            any |= split.taken.is_some();
            left.push(split.left);
            taken.push(split.taken.unwrap_or_else(|| "null".to_owned()));
        }
        let list = |items: Vec<String>| format!("[{}]", items.join(","));
        Some(Split {
            left: list(left),
            taken: any.then(|| list(taken)),
        })
    }
}

/// Two documents as one: the fields of both, or a list where they are no objects.
fn both(first: &str, second: &str) -> String {
    let fields = |text: &str| {
        let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
        Some(inner.trim().to_owned())
    };
    match (fields(first), fields(second)) {
        (Some(first), Some(second)) if first.is_empty() => format!("{{{second}}}"),
        (Some(first), Some(second)) => format!("{{{first},{second}}}"),
        _ => format!("[{first},{second}]"),
    }
}

/// A value in two parts.
struct Split {
    left: String,
    taken: Option<String>,
}

/// The fields of an object in their order, each as it is written.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::PersonalKeys;

    fn check(document: &str, open: Option<&str>, personal: Option<&str>) {
        let names = PersonalKeys::new(&["email".to_owned(), "Straße".to_owned()]);
        let none = StringArray::from(vec![None::<&str>]);
        let parted = names.split_documents(&StringArray::from(vec![document]), &none);
        let found = |array: &StringArray| array.iter().flatten().next().map(str::to_owned);
        assert_eq!(found(&parted.open).as_deref(), open, "{document}");
        assert_eq!(found(&parted.personal).as_deref(), personal, "{document}");
    }

    #[test]
    fn removing_personal_keys_keeps_the_rest_verbatim() {
        check(
            r#"{"n": 1.10, "email": "a@b.example", "big": 12345678901234567890123}"#,
            Some(r#"{"n":1.10,"big":12345678901234567890123}"#),
            Some(r#"{"email":"a@b.example"}"#),
        );
        let untouched = r#"{ "n" : 1.10, "mail" : "x" }"#;
        check(untouched, Some(untouched), None);
        let mentioned = r#"{ "has" : "email" }"#;
        check(mentioned, Some(mentioned), None);
        check(r#"{"email":null}"#, Some(r#"{"email":null}"#), None);
    }

    #[test]
    fn personal_keys_are_found_at_any_depth_and_escape() {
        check(
            r#"{"form":{"EMail":"a@b.example","ok":true},"others":[{"x":1},{"x":2,"email":"c"}]}"#,
            Some(r#"{"form":{"ok":true},"others":[{"x":1},{"x":2}]}"#),
            Some(r#"{"form":{"EMail":"a@b.example"},"others":[null,{"email":"c"}]}"#),
        );
        check(
            r#"{"e\u006dail":"a","y":"\u00e9"}"#,
            Some(r#"{"y":"\u00e9"}"#),
            Some(r#"{"email":"a"}"#),
        );
        check(
            r#"{"STRASSE":1,"STRAßE":"Ring 1"}"#,
            Some(r#"{"STRASSE":1}"#),
            Some(r#"{"STRAßE":"Ring 1"}"#),
        );
        check(
            r#"{"email":"a","email":"b","email":{"c":1}}"#,
            Some("{}"),
            Some(r#"{"email":"a","email":"b","email":{"c":1}}"#),
        );
    }

    #[test]
    fn existing_personal_properties_are_kept() {
        let names = PersonalKeys::new(&["email".to_owned()]);
        for (own, expected) in [
            (r#"{"ip":"::1"}"#, r#"{"ip":"::1","email":"a"}"#),
            ("{ }", r#"{"email":"a"}"#),
            ("[1]", r#"[[1],{"email":"a"}]"#),
        ] {
            let documents = StringArray::from(vec![r#"{"email":"a"}"#, "{}"]);
            let parted = names.split_documents(&documents, &StringArray::from(vec![own, own]));
            assert_eq!(parted.personal.value(0), expected);
            assert_eq!(parted.personal.value(1), own);
        }
    }

    #[test]
    fn unparsable_properties_are_personal() {
        let deep = |levels| format!("{}\"email\"{}", "[".repeat(levels), "]".repeat(levels));
        for levels in [65, 100_000] {
            check(&deep(levels), None, Some(&deep(levels)));
        }
        check(&deep(64), Some(&deep(64)), None);
        check("\"email\"", Some("\"email\""), None);
    }
}
