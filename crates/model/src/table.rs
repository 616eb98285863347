//! Table definitions, and the Arrow schemas derived from them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde::Serialize;

/// Digits of a money amount.
pub const MONEY_PRECISION: u8 = 19;
/// Digits of a sum of money: enough for ten thousand million amounts.
pub const SUM_PRECISION: u8 = 29;
/// Decimal places of a money amount.
pub const MONEY_SCALE: i8 = 4;

/// The type of a column, as users know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// UTF-8 text.
    Text,
    /// A list of texts, such as tags.
    TextList,
    /// True or false.
    Bool,
    /// 64-bit integer.
    Int,
    /// 64-bit floating point: measures that are not money.
    Float,
    /// `decimal(19,4)`: money and quantities.
    Decimal,
    /// UTC microseconds.
    Time,
    /// A calendar day.
    Date,
    /// A JSON document as text.
    Json,
}

impl ColumnType {
    /// The Arrow type of the values.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Text | Self::Json => DataType::Utf8,
            Self::TextList => DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))),
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Decimal => DataType::Decimal128(MONEY_PRECISION, MONEY_SCALE),
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Date => DataType::Date32,
        }
    }

    /// The type's name in messages and documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::TextList => "list of text",
            Self::Bool => "boolean",
            Self::Int => "integer",
            Self::Float => "float",
            Self::Decimal => "decimal(19,4)",
            Self::Time => "time",
            Self::Date => "date",
            Self::Json => "json",
        }
    }
}

/// What is known of a column's value at an earlier moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ages {
    /// Written once; valid at any time after the row's own.
    Immutable,
    /// Known from the time in another column of the row.
    DatedBy(&'static str),
    /// Earlier values are kept with their time.
    WithHistory,
    /// Only the current value is known.
    CurrentOnly,
}

/// One column of a canonical table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ColumnDef {
    /// Its name in SQL.
    pub name: &'static str,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: ColumnType,
    /// Whether a row may leave it empty.
    pub nullable: bool,
    /// Whether it identifies a person; such values are stored apart from the tables.
    pub personal: bool,
    /// What is known of its value at an earlier moment.
    pub ages: Ages,
    /// Its unit; empty without one.
    pub unit: &'static str,
    /// One line of meaning.
    pub meaning: &'static str,
}

impl ColumnDef {
    pub(crate) const fn new(name: &'static str, ty: ColumnType, meaning: &'static str) -> Self {
        Self {
            name,
            ty,
            nullable: true,
            personal: false,
            ages: Ages::CurrentOnly,
            unit: "",
            meaning,
        }
    }

    pub(crate) const fn required(mut self) -> Self {
        self.nullable = false;
        self
    }

    pub(crate) const fn personal(mut self) -> Self {
        self.personal = true;
        self
    }

    pub(crate) const fn immutable(mut self) -> Self {
        self.ages = Ages::Immutable;
        self
    }

    pub(crate) const fn dated_by(mut self, column: &'static str) -> Self {
        self.ages = Ages::DatedBy(column);
        self
    }

    pub(crate) const fn with_history(mut self) -> Self {
        self.ages = Ages::WithHistory;
        self
    }

    pub(crate) const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    /// The Arrow field of this column.
    pub fn field(&self) -> Field {
        Field::new(self.name, self.ty.arrow(), self.nullable)
    }
}

/// The kind of rows, which determines leading columns and sort order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Persons: `person_id, identity_id, provider, external_id` come first.
    Person,
    /// Facts of persons: `person_id, identity_id, provider, external_id` come first.
    Fact,
    /// Rows without a person: `provider, external_id` come first.
    Reference,
    /// Rows of rollbook itself: there are no leading columns, and no mapping fills the table.
    Own,
}

/// One canonical table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TableDef {
    /// Its name in SQL, and its folder in the lake.
    pub name: &'static str,
    /// The kind of its rows.
    pub shape: Shape,
    /// The column with the time of a row, for facts that have one.
    pub time: Option<&'static str>,
    /// The columns after the leading ones.
    pub columns: &'static [ColumnDef],
    /// A one-line description of a row.
    pub meaning: &'static str,
}

const PERSON_ID: ColumnDef = ColumnDef::new(
    "person_id",
    ColumnType::Int,
    "id of the person, assigned by rollbook and never reused; 0 = not linked yet",
)
.required();
const IDENTITY_ID: ColumnDef = ColumnDef::new(
    "identity_id",
    ColumnType::Int,
    "id of the provider's record of the person; 0 = the source names none",
)
.required();
const PROVIDER: ColumnDef = ColumnDef::new(
    "provider",
    ColumnType::Text,
    "system that the row came from",
)
.required()
.immutable();
const EXTERNAL_ID: ColumnDef = ColumnDef::new(
    "external_id",
    ColumnType::Text,
    "id of the row in that system; with provider, the key",
)
.required()
.immutable();

const LEAD_PERSON: [ColumnDef; 4] = [PERSON_ID, IDENTITY_ID, PROVIDER, EXTERNAL_ID];
const LEAD_REFERENCE: [ColumnDef; 2] = [PROVIDER, EXTERNAL_ID];

impl TableDef {
    /// The columns that every table of this shape begins with.
    pub fn leading(&self) -> &'static [ColumnDef] {
        match self.shape {
            Shape::Person | Shape::Fact => &LEAD_PERSON,
            Shape::Reference => &LEAD_REFERENCE,
            Shape::Own => &[],
        }
    }

    /// All columns in order, including the personal ones.
    pub fn all_columns(&self) -> impl Iterator<Item = &'static ColumnDef> + use<> {
        self.leading().iter().chain(self.columns)
    }

    /// The column with this name.
    pub fn column(&self, name: &str) -> Option<&'static ColumnDef> {
        self.all_columns().find(|column| column.name == name)
    }

    /// The columns that are stored in the vault.
    pub fn personal_columns(&self) -> impl Iterator<Item = &'static ColumnDef> + use<> {
        self.all_columns().filter(|column| column.personal)
    }

    /// Whether any column is personal.
    pub fn has_personal(&self) -> bool {
        self.personal_columns().next().is_some()
    }

    /// The columns with the time at which a row, or a value in it, becomes visible.
    pub fn arrivals(&self) -> impl Iterator<Item = &'static ColumnDef> + use<> {
        let def = *self;
        let columns = self.all_columns().filter(|column| !column.personal);
        let times = columns.filter(|column| column.ty == ColumnType::Time);
        times.filter(move |column| def.shape != Shape::Person || def.is_null_ahead(column))
    }

    /// Whether a column is null before its own time: the time at which a person was created. Rows of other
    /// tables are hidden before their time, but persons are always visible, since their facts may be older
    /// than their record.
    pub fn is_null_ahead(&self, column: &ColumnDef) -> bool {
        self.shape == Shape::Person
            && column.ty == ColumnType::Time
            && column.ages == Ages::Immutable
    }

    /// Whether rows belong to persons.
    pub fn is_personal_fact(&self) -> bool {
        matches!(self.shape, Shape::Person | Shape::Fact)
    }

    /// The schema of the table's files in the lake: all columns but the personal ones.
    pub fn stored_schema(&self) -> SchemaRef {
        schema(self.all_columns().filter(|column| !column.personal))
    }

    /// The schema in SQL: all columns.
    pub fn full_schema(&self) -> SchemaRef {
        schema(self.all_columns())
    }

    /// The decrypted schema of the table's vault files: the key columns, then the personal ones.
    pub fn vault_schema(&self) -> SchemaRef {
        let keys = self
            .all_columns()
            .filter(|c| self.vault_keys().contains(&c.name));
        schema(keys.chain(self.personal_columns()))
    }

    /// The schema of the table's vault files as stored: that of [`TableDef::vault_schema`] with encrypted
    /// personal columns.
    pub fn sealed_schema(&self) -> SchemaRef {
        let fields = self.vault_schema();
        let fields = fields.fields().iter().map(|field| {
            let is_personal = self.column(field.name()).is_some_and(|one| one.personal);
            match is_personal {
                true => Field::new(field.name(), DataType::Binary, true),
                false => field.as_ref().clone(),
            }
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The columns that join a row to its personal values. If rows belong to a person, `identity_id` is one
    /// of them, so that the values of one person can be found and erased.
    pub fn vault_keys(&self) -> &'static [&'static str] {
        match self.shape {
            Shape::Person => &["identity_id"],
            Shape::Fact => &["identity_id", "provider", "external_id"],
            Shape::Reference => &["provider", "external_id"],
            Shape::Own if self.column("identity_id").is_some() => &["identity_id"],
            Shape::Own => &["quarantine_id"],
        }
    }

    /// The columns that identify a row.
    pub fn key_columns(&self) -> Vec<&'static str> {
        match self.shape {
            Shape::Own => self
                .columns
                .iter()
                .take(1)
                .map(|column| column.name)
                .collect(),
            Shape::Person | Shape::Fact | Shape::Reference => vec!["provider", "external_id"],
        }
    }

    /// The columns that the table's files are sorted by.
    pub fn sort_columns(&self) -> Vec<&'static str> {
        match self.shape {
            Shape::Person => vec!["person_id"],
            Shape::Fact => ["person_id"]
                .into_iter()
                .chain(self.time)
                .chain(["provider", "external_id"])
                .collect(),
            Shape::Reference | Shape::Own => self.key_columns(),
        }
    }
}

fn schema<'a>(columns: impl Iterator<Item = &'a ColumnDef>) -> SchemaRef {
    Arc::new(Schema::new(
        columns.map(ColumnDef::field).collect::<Vec<_>>(),
    ))
}
