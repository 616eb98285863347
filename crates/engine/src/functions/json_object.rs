//! `json_object(key, value, …)`: source fields without a column of their own, as one JSON document.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use crate::rewriting::columnar::columnar;

/// Builds a JSON object from pairs of a key and a value.
///
/// Pairs with a null value are left out; a row with such pairs only gives null. Numbers and
/// booleans are written without quotes, all other values as text. The keys keep their order.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct JsonObject {
    signature: Signature,
}

impl JsonObject {
    pub(crate) fn new() -> Self {
        Self {
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for JsonObject {
    fn name(&self) -> &str {
        "json_object"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        if types.is_empty() || !types.len().is_multiple_of(2) {
            return plan_err!("json_object takes pairs of a key and a value");
        }
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let pairs = arrays
            .chunks_exact(2)
            .map(|pair| Pair::new(&pair[0], &pair[1]))
            .collect::<Result<Vec<_>>>()?;
        let rows = pairs.first().map_or(0, |pair| pair.keys.len());
        let mut documents = StringBuilder::with_capacity(rows, rows * 16 * pairs.len());
        let mut document = String::new();
        for row in 0..rows {
            document.clear();
            for pair in &pairs {
                pair.write(row, &mut document)?;
            }
            if document.is_empty() {
                documents.append_null();
            } else {
                document.push('}');
                documents.append_value(&document);
            }
        }
        columnar(&args.args, Arc::new(documents.finish()))
    }
}

struct Pair {
    keys: ArrayRef,
    values: ArrayRef,
    bare: bool,
}

impl Pair {
    fn new(keys: &ArrayRef, values: &ArrayRef) -> Result<Self> {
        let bare = values.data_type().is_numeric() || *values.data_type() == DataType::Boolean;
        let values = match values.data_type() {
            DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => {
                cast(values, &DataType::Utf8)?
            }
            _ => Arc::clone(values),
        };
        Ok(Self {
            keys: cast(keys, &DataType::Utf8)?,
            values,
            bare,
        })
    }

    fn write(&self, row: usize, document: &mut String) -> Result<()> {
        if self.values.is_null(row) {
            return Ok(());
        }
        if self.keys.is_null(row) {
            return exec_err!("json_object was given a key that is null");
        }
        document.push(if document.is_empty() { '{' } else { ',' });
        write_text(self.keys.as_string::<i32>().value(row), document);
        document.push(':');
        if let Some(texts) = self.values.as_string_opt::<i32>() {
            write_text(texts.value(row), document);
            return Ok(());
        }
        let options = FormatOptions::default();
        let value = ArrayFormatter::try_new(&self.values, &options)?
            .value(row)
            .to_string();
        // JSON has no infinity and no `NaN`.
        if self.bare && value.parse::<f64>().map_or(true, f64::is_finite) {
            document.push_str(&value);
        } else {
            write_text(&value, document);
        }
        Ok(())
    }
}

fn write_text(text: &str, document: &mut String) {
    document.push('"');
    for character in text.chars() {
        match character {
            '"' => document.push_str("\\\""),
            '\\' => document.push_str("\\\\"),
            '\n' => document.push_str("\\n"),
            '\r' => document.push_str("\\r"),
            '\t' => document.push_str("\\t"),
            control if control < ' ' => {
                write!(document, "\\u{:04x}", u32::from(control))
                    .expect("writing to a String cannot fail");
            }
            other => document.push(other),
        }
    }
    document.push('"');
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use rollbook_model::config::Limits;

    async fn check(expression: &str, expected: Option<&str>) {
        let session = crate::mapping_session(Limits::default(), None).unwrap();
        let sql = format!("select {expression} as document");
        let batches = session.sql(&sql).await.unwrap().collect().await.unwrap();
        let documents = batches[0].column(0).as_string::<i32>();
        assert_eq!(documents.iter().next().unwrap(), expected, "{expression}");
    }

    #[tokio::test]
    async fn json_object_writes_pairs_omits_nulls_and_escapes() {
        check("json_object('a', 'x', 'b', null)", Some(r#"{"a":"x"}"#)).await;
        check("json_object('a', null)", None).await;
        check(
            "json_object('n', 1, 't', true, 'd', 1.50::decimal(9,2))",
            Some(r#"{"n":1,"t":true,"d":1.50}"#),
        )
        .await;
        check(
            "json_object('q', 'say \"hi\" \\ ' || chr(10) || chr(1))",
            Some(r#"{"q":"say \"hi\" \\ \n\u0001"}"#),
        )
        .await;
        check(
            "json_object('nan', cast('NaN' as double))",
            Some(r#"{"nan":"NaN"}"#),
        )
        .await;
        check(
            "json_object('day', date '2024-05-01')",
            Some(r#"{"day":"2024-05-01"}"#),
        )
        .await;
    }

    #[tokio::test]
    async fn json_object_gives_one_document_for_each_row() {
        let session = crate::mapping_session(Limits::default(), None).unwrap();
        let sql = "select json_object('v', v) from (values ('a'), (null), ('c')) as t (v)";
        let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
        let documents: Vec<_> = batches[0].column(0).as_string::<i32>().iter().collect();
        assert_eq!(
            documents,
            [Some(r#"{"v":"a"}"#), None, Some(r#"{"v":"c"}"#)]
        );
    }

    #[tokio::test]
    async fn json_object_refuses_a_key_without_a_value() {
        let session = crate::mapping_session(Limits::default(), None).unwrap();
        let error = session
            .sql("select json_object('a')")
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("pairs of a key and a value"), "{error}");
    }
}
