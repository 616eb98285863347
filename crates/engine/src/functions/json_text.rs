//! `json_text(document, path)`: one value of a JSON document, as text.

use std::sync::Arc;

use arrow::array::{AsArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use serde_json::Value;

use crate::rewriting::columnar::columnar;

/// Reads the value at a path such as `utm.source` or `items.0.sku`.
///
/// Text is returned without quotes, an object or a list as JSON. The result is null if nothing is
/// at the path, if the value there is `null`, and if the document is not JSON.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct JsonText {
    signature: Signature,
}

impl JsonText {
    pub(crate) fn new() -> Self {
        Self {
            signature: Signature::string(2, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for JsonText {
    fn name(&self) -> &str {
        "json_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let documents = cast(&arrays[0], &DataType::Utf8)?;
        let paths = cast(&arrays[1], &DataType::Utf8)?;
        let mut texts = StringBuilder::new();
        for (document, path) in documents
            .as_string::<i32>()
            .iter()
            .zip(paths.as_string::<i32>())
        {
            texts.append_option(document.zip(path).and_then(|(d, p)| text_at(d, p)));
        }
        columnar(&args.args, Arc::new(texts.finish()))
    }
}

fn text_at(document: &str, path: &str) -> Option<String> {
    let document: Value = serde_json::from_str(document).ok()?;
    let found = path
        .split('.')
        .try_fold(&document, |value, step| match value {
            Value::Object(fields) => fields.get(step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })?;
    match found {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::text_at;

    #[test]
    fn json_text_follows_the_path() {
        let document =
            r#"{"utm": {"source": "mail"}, "items": [{"sku": "A"}], "n": 1.50, "z": null}"#;
        for (path, expected) in [
            ("utm.source", Some("mail")),
            ("utm", Some(r#"{"source":"mail"}"#)),
            ("items.0.sku", Some("A")),
            ("items.1.sku", None),
            ("n", Some("1.5")),
            ("z", None),
            ("utm.source.deeper", None),
        ] {
            assert_eq!(text_at(document, path).as_deref(), expected, "{path}");
        }
        assert_eq!(text_at("not json", "a"), None);
    }
}
