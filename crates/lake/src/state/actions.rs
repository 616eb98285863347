//! Actions of a Delta log as JSON: those that rollbook writes, and those of other programs.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;
use rollbook_model::SnapshotNumber;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// One line of a Delta log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Action {
    /// The protocol versions that a program must support to read or write the table.
    Protocol(Protocol),
    /// The columns and properties of the table.
    #[serde(rename = "metaData")]
    Metadata(Metadata),
    /// A file that belongs to the table from now on.
    Add(Add),
    /// A file that no longer belongs to the table.
    Remove(Remove),
    /// The writer and the time of the commit. Readers do not use it.
    CommitInfo(CommitInfo),
    /// Rollbook does not write this action and the following ones. They change neither files nor
    /// columns.
    #[serde(skip_serializing)]
    Cdc(IgnoredAny),
    /// See [`Action::Cdc`].
    #[serde(skip_serializing)]
    Txn(IgnoredAny),
    /// See [`Action::Cdc`].
    #[serde(skip_serializing)]
    DomainMetadata(IgnoredAny),
}

/// The protocol versions that a reader and a writer must support.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Protocol {
    pub(crate) min_reader_version: i32,
    pub(crate) min_writer_version: i32,
}

/// The columns and properties of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) format: Format,
    /// The columns, as [`schema_string`] writes them.
    pub(crate) schema_string: String,
    pub(crate) partition_columns: Vec<String>,
    /// In milliseconds.
    pub(crate) created_time: Option<i64>,
    pub(crate) configuration: BTreeMap<String, String>,
}

/// The format of a table's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub(crate) provider: String,
    pub(crate) options: BTreeMap<String, String>,
}

/// A file that a commit adds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Add {
    /// Relative to the table. The protocol demands a URI; names of rollbook's files hold no character
    /// that a URI escapes.
    pub(crate) path: String,
    pub(crate) partition_values: BTreeMap<String, Option<String>>,
    /// In bytes.
    pub(crate) size: i64,
    /// In milliseconds.
    pub(crate) modification_time: i64,
    pub(crate) data_change: bool,
    pub(crate) stats: Option<String>,
    pub(crate) tags: Option<BTreeMap<String, Option<String>>>,
    pub(crate) base_row_id: Option<i64>,
    pub(crate) default_row_commit_version: Option<i64>,
    pub(crate) clustering_provider: Option<String>,
}

/// A file that a commit removes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remove {
    /// See [`Add::path`].
    pub(crate) path: String,
    pub(crate) data_change: bool,
    /// In milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deletion_timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) extended_file_metadata: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) partition_values: Option<BTreeMap<String, Option<String>>>,
    /// In bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<i64>,
}

/// The writer, the time and the operation of a commit. Its fields are not parsed, since other writers
/// use others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommitInfo {
    /// In milliseconds.
    #[serde(skip_deserializing)]
    pub(crate) timestamp: i64,
    #[serde(skip_deserializing)]
    pub(crate) operation: String,
    #[serde(skip_deserializing)]
    pub(crate) engine_info: String,
    #[serde(skip_deserializing)]
    pub(crate) rollbook_snapshot: SnapshotNumber,
}

/// The columns of a table as [`Metadata::schema_string`] names them.
///
/// # Errors
/// A column is of a type that no table of rollbook has.
pub(crate) fn schema_string(schema: &Schema) -> Result<String, ArrowError> {
    let fields = schema.fields().iter().map(|field| struct_field(field));
    let schema = StructType {
        kind: "struct",
        fields: fields.collect::<Result<_, _>>()?,
    };
    serde_json::to_string(&schema).map_err(|error| ArrowError::SchemaError(error.to_string()))
}

#[derive(Serialize)]
struct StructType {
    #[serde(rename = "type")]
    kind: &'static str,
    fields: Vec<StructField>,
}

#[derive(Serialize)]
struct StructField {
    name: String,
    #[serde(rename = "type")]
    data_type: DeltaType,
    nullable: bool,
    metadata: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum DeltaType {
    Primitive(String),
    #[serde(rename_all = "camelCase")]
    Array {
        #[serde(rename = "type")]
        kind: &'static str,
        element_type: Box<DeltaType>,
        contains_null: bool,
    },
}

fn struct_field(field: &Field) -> Result<StructField, ArrowError> {
    let metadata = field.metadata().clone();
    Ok(StructField {
        name: field.name().clone(),
        data_type: delta_type(field.data_type())?,
        nullable: field.is_nullable(),
        metadata: metadata.into_iter().collect(),
    })
}

fn delta_type(data_type: &DataType) -> Result<DeltaType, ArrowError> {
    let name = match data_type {
        DataType::Utf8 => "string".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int64 => "long".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC" => {
            "timestamp".to_owned()
        }
        DataType::List(element) => {
            return Ok(DeltaType::Array {
                kind: "array",
                element_type: Box::new(delta_type(element.data_type())?),
                contains_null: element.is_nullable(),
            });
        }
        other => {
            let detail = format!("Delta has no column type for {other}");
            return Err(ArrowError::SchemaError(detail));
        }
    };
    Ok(DeltaType::Primitive(name))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    use rollbook_model::table::ColumnType;

    use super::{Action, schema_string};

    #[test]
    fn every_column_type_has_a_delta_type() {
        let column = |name: &str, ty: ColumnType, nullable| Field::new(name, ty.arrow(), nullable);
        let schema = Schema::new(vec![
            column("person_id", ColumnType::Int, false),
            column("name", ColumnType::Text, true),
            column("tags", ColumnType::TextList, true),
            column("is_paid", ColumnType::Bool, true),
            column("weight", ColumnType::Float, true),
            column("total", ColumnType::Decimal, false),
            column("happened_at", ColumnType::Time, false),
            column("due_on", ColumnType::Date, true),
            column("raw", ColumnType::Json, true),
        ]);
        let expected = [
            r#"{"type":"struct","fields":["#,
            r#"{"name":"person_id","type":"long","nullable":false,"metadata":{}},"#,
            r#"{"name":"name","type":"string","nullable":true,"metadata":{}},"#,
            r#"{"name":"tags","type":{"type":"array","elementType":"string","containsNull":true},"#,
            r#""nullable":true,"metadata":{}},"#,
            r#"{"name":"is_paid","type":"boolean","nullable":true,"metadata":{}},"#,
            r#"{"name":"weight","type":"double","nullable":true,"metadata":{}},"#,
            r#"{"name":"total","type":"decimal(19,4)","nullable":false,"metadata":{}},"#,
            r#"{"name":"happened_at","type":"timestamp","nullable":false,"metadata":{}},"#,
            r#"{"name":"due_on","type":"date","nullable":true,"metadata":{}},"#,
            r#"{"name":"raw","type":"string","nullable":true,"metadata":{}}]}"#,
        ];
        assert_eq!(schema_string(&schema).unwrap(), expected.concat());
    }

    #[test]
    fn a_type_that_no_table_has_is_refused() {
        let without_zone = DataType::Timestamp(TimeUnit::Microsecond, None);
        for data_type in [DataType::UInt64, DataType::LargeUtf8, without_zone] {
            let schema = Schema::new(vec![Field::new("column", data_type, true)]);
            assert!(schema_string(&schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn actions_of_other_programs_are_read() {
        let lines = [
            r#"{"txn":{"appId":"loader","version":3}}"#,
            r#"{"domainMetadata":{"domain":"d","configuration":"{}","removed":false}}"#,
            r#"{"cdc":{"path":"x","size":1,"partitionValues":{},"dataChange":false}}"#,
            r#"{"commitInfo":{"timestamp":null,"operationParameters":{"mode":"Append"}}}"#,
            r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["x"]}}"#,
            r#"{"remove":{"path":"part-1.parquet","dataChange":true,"tags":{"a":null}}}"#,
        ];
        for line in lines {
            serde_json::from_str::<Action>(line).unwrap();
        }
        let line = r#"{"add":{"path":"p","partitionValues":{"a":null},"size":1,"modificationTime":2,"dataChange":true,"tags":{"b":null},"deletionVector":{},"more":1}}"#;
        let Action::Add(add) = serde_json::from_str(line).unwrap() else {
            panic!("an add");
        };
        assert_eq!((add.path.as_str(), add.size, add.stats), ("p", 1, None));
        assert!(serde_json::from_str::<Action>(r#"{"unheardOf":{}}"#).is_err());
    }
}
