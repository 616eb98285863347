//! Casts the output of a mapping to rows of the canonical table, with an error for each row that fails.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, StringBuilder,
    UInt32Array, new_null_array,
};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use rollbook_model::{ColumnDef, ColumnType, Shape, TableDef, nearest};

use crate::IngestError;
use crate::mapping::numbers::NumberStyle;
use crate::mapping::{Mapping, PERSONAL_PROPERTIES, PROPERTIES};
use crate::rows::contact_ids::ContactIds;
use crate::rows::file_columns::KEY_SET;
use crate::rows::value_warnings::ValueWarnings;

mod cast;
mod decimal_commas;
pub(crate) mod personal_properties;
mod places;
pub(crate) mod status_words;
pub(crate) mod value;

use cast::{SourceStyle, cast_column, is_probability};
pub(crate) use decimal_commas::DecimalCommas;
use personal_properties::PersonalKeys;

/// The reason why a row is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowError {
    pub(crate) file: String,
    pub(crate) line: i64,
    pub(crate) column: Option<String>,
    pub(crate) code: &'static str,
    pub(crate) reason: String,
    pub(crate) value: Option<String>,
}

/// Rows of a table before they get their persons, with their file and line.
pub(crate) struct CanonicalRows {
    /// The rows, in [`staged_schema`].
    pub(crate) rows: RecordBatch,
    /// The file of each row.
    pub(crate) files: StringArray,
    /// The line of each row.
    pub(crate) lines: Int64Array,
    /// The number of the key set of each row, if rows of a file have different keys.
    pub(crate) key_sets: Option<UInt32Array>,
    /// The refused rows.
    pub(crate) faults: Vec<RowError>,
    /// Warnings about values.
    pub(crate) odd: ValueWarnings,
}

/// The external id of the person that a row refers to, null for none.
pub(crate) const PERSON: &str = "_person";
/// Whether the source deleted the row.
pub(crate) const DELETED: &str = "_deleted";

/// The columns of a table in staged rows: without the ids that rollbook assigns.
pub(crate) fn staged_schema(def: &TableDef) -> SchemaRef {
    let own = staged_columns(def).map(|column| column.field());
    let extra = [
        Field::new(PERSON, DataType::Utf8, true),
        Field::new(DELETED, DataType::Boolean, true),
    ];
    Arc::new(Schema::new(own.chain(extra).collect::<Vec<_>>()))
}

/// The external ids of the persons to whom staged rows belong.
pub(crate) fn records<'a>(def: &TableDef, batch: &'a RecordBatch) -> &'a StringArray {
    match def.shape {
        Shape::Person => batch["external_id"].as_string::<i32>(),
        _ => batch[PERSON].as_string::<i32>(),
    }
}

fn staged_columns(def: &TableDef) -> impl Iterator<Item = &'static ColumnDef> + use<> {
    def.all_columns()
        .filter(|column| !matches!(column.name, "person_id" | "identity_id"))
}

/// Casts the output of one mapping.
pub(crate) struct Caster {
    mapping: Mapping,
    contact_ids: ContactIds,
    personal: PersonalKeys,
    schema: SchemaRef,
}

pub(crate) const REFERENCES: [ColumnDef; 4] = [
    text_column("person_external_id"),
    text_column("person_email"),
    text_column("person_phone"),
    text_column("person_country"),
];
const RETIRED: ColumnDef = ColumnDef {
    ty: ColumnType::Bool,
    ..text_column(DELETED)
};

const fn text_column(name: &'static str) -> ColumnDef {
    ColumnDef {
        name,
        ty: ColumnType::Text,
        nullable: true,
        personal: false,
        ages: rollbook_model::Ages::CurrentOnly,
        unit: "",
        meaning: "",
    }
}

impl Caster {
    /// Checks that the table has every column that the mapping yields, and that the mapping yields a key.
    pub(crate) fn new(
        mapping: &Mapping,
        output: &Schema,
        contact_ids: ContactIds,
    ) -> Result<Self, IngestError> {
        let def = mapping.table;
        let special = ["_file", "_line", KEY_SET, DELETED].into_iter();
        let references = REFERENCES.iter().map(|column| column.name);
        let known: Vec<&str> = staged_columns(def)
            .map(|column| column.name)
            .chain(special)
            .chain(references.filter(|_| def.shape == Shape::Fact))
            .collect();
        for field in output.fields() {
            if !known.contains(&field.name().as_str()) {
                return Err(IngestError::UnknownOutput {
                    mapping: mapping.label(),
                    column: field.name().clone(),
                    table: def.name,
                    nearest: nearest(field.name(), known.iter().copied()).map(str::to_owned),
                });
            }
        }
        let missing = |column, hint| IngestError::MissingOutput {
            mapping: mapping.label(),
            column,
            hint,
        };
        let has = |column: &str| output.field_with_name(column).is_ok();
        if !has("_file") || !has("_line") {
            let hint =
                "select `_file` and `_line` of the driving source in each subquery and at the top";
            return Err(missing("_file", hint));
        }
        if !mapping.personal.is_empty() && !has(PROPERTIES) {
            let hint = "its header declares personal keys of this column";
            return Err(missing(PROPERTIES, hint));
        }
        let is_named = def.shape == Shape::Person && (has("email") || has("phone"));
        if !(has("external_id") || is_named) {
            let hint = "select the column that identifies a row `as external_id`";
            return Err(missing("external_id", hint));
        }
        Ok(Self {
            mapping: mapping.clone(),
            contact_ids,
            personal: PersonalKeys::new(&mapping.personal),
            schema: staged_schema(def),
        })
    }

    /// Casts a batch to the types of the table. Rows that fail are left out and returned in `faults`;
    /// `commas` holds what earlier batches showed about decimal commas.
    pub(crate) fn cast(
        &self,
        batch: &RecordBatch,
        commas: &mut DecimalCommas,
    ) -> Result<CanonicalRows, IngestError> {
        let failed = IngestError::rows(self.mapping.table.name, "cast");
        let rows = batch.num_rows();
        let files = cast(column(batch, "_file")?, &DataType::Utf8).map_err(&failed)?;
        let files = files.as_string::<i32>().clone();
        let lines = cast(column(batch, "_line")?, &DataType::Int64).map_err(&failed)?;
        let lines = lines.as_primitive::<Int64Type>().clone();
        let mut faulty: Vec<Option<RowError>> = vec![None; rows];
        let mut odd = ValueWarnings::default();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for def in staged_columns(self.mapping.table) {
            let cast = self.column(batch, def, &mut faulty).map_err(&failed)?;
            columns.push(cast);
        }
        self.normalise(&mut columns, &mut odd);
        self.name_rows(&mut columns);
        self.derive_email_domain(&mut columns);
        self.split_properties(&mut columns);
        let references = self.references(batch, &mut faulty, &mut odd);
        columns.push(references.map_err(&failed)?);
        columns.push(self.column(batch, &RETIRED, &mut faulty).map_err(&failed)?);
        if self.mapping.numbers.is_none() {
            let own = staged_columns(self.mapping.table);
            commas
                .check(batch, own, &files, &mut faulty)
                .map_err(&failed)?;
        }
        for (def, values) in staged_columns(self.mapping.table).zip(&columns) {
            if !def.nullable {
                missing_values(def, values, &mut faulty);
            }
        }
        let schema = nullable(&self.schema);
        let all = RecordBatch::try_new(schema, columns).map_err(&failed)?;
        let good: BooleanArray = faulty.iter().map(|fault| Some(fault.is_none())).collect();
        let kept = filter_record_batch(&all, &good).map_err(&failed)?;
        let kept = RecordBatch::try_new(self.schema.clone(), kept.columns().to_vec());
        let faults = faulty
            .into_iter()
            .enumerate()
            .filter_map(|(row, fault)| {
                let fault = fault?;
                Some(RowError {
                    file: files.value(row).to_owned(),
                    line: lines.value(row),
                    ..fault
                })
            })
            .collect();
        let filter = |array: &dyn Array| arrow::compute::filter(array, &good);
        let key_sets = batch.column_by_name(KEY_SET).map(|sets| {
            let sets = filter(&cast(sets, &DataType::UInt32)?)?;
            Ok(sets.as_primitive::<UInt32Type>().clone())
        });
        Ok(CanonicalRows {
            key_sets: key_sets.transpose().map_err(&failed)?,
            rows: kept.map_err(&failed)?,
            files: filter(&files).map_err(&failed)?.as_string::<i32>().clone(),
            lines: filter(&lines)
                .map_err(&failed)?
                .as_primitive::<Int64Type>()
                .clone(),
            faults,
            odd,
        })
    }

    fn column(
        &self,
        batch: &RecordBatch,
        def: &ColumnDef,
        faulty: &mut [Option<RowError>],
    ) -> Result<ArrayRef, ArrowError> {
        let Some(source) = batch.column_by_name(def.name) else {
            return Ok(self.default_of(def, batch.num_rows()));
        };
        let numbers = self.mapping.numbers.unwrap_or(NumberStyle::Point);
        let form = SourceStyle {
            zone: self.mapping.timezone,
            numbers,
        };
        let cast = cast_column(source, def, form)?;
        if !cast.refused.is_empty() {
            let options = FormatOptions::default();
            let shown = ArrayFormatter::try_new(source.as_ref(), &options)?;
            for row in cast.refused {
                faulty[row].get_or_insert_with(|| RowError {
                    column: Some(def.name.to_owned()),
                    code: "bad_value",
                    reason: reason(def, numbers),
                    value: Some(shown.value(row).to_string()),
                    ..blank_fault()
                });
            }
        }
        if def.name == "provider" {
            return fill(&cast.column, self.mapping.provider.as_str());
        }
        Ok(match status_words::of(self.mapping.table.name, def.name) {
            Some(words) => words.normalised(&cast.column),
            None => cast.column,
        })
    }

    /// The values of a column that the mapping does not yield.
    fn default_of(&self, def: &ColumnDef, rows: usize) -> ArrayRef {
        match def.name {
            "provider" => {
                let name = self.mapping.provider.as_str();
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
                    name, rows,
                )))
            }
            _ => new_null_array(&def.ty.arrow(), rows),
        }
    }

    /// Countries and regions by their codes, and ids without the `.0` of a float.
    fn normalise(&self, columns: &mut [ArrayRef], odd: &mut ValueWarnings) {
        let place = |name: &str| self.schema.index_of(name).ok();
        if let Some(country) = place("country") {
            columns[country] = places::countries(&columns[country], odd);
            if let Some(region) = place("region") {
                columns[region] = places::regions(&columns[region], &columns[country], odd);
            }
        }
        for (def, column) in staged_columns(self.mapping.table).zip(columns) {
            if places::is_id(def.name) {
                *column = places::ids(column, def.name, odd);
            }
        }
    }

    /// Persons whom their source knows only by e-mail address or phone number get a hash of it as external
    /// id.
    fn name_rows(&self, columns: &mut [ArrayRef]) {
        if self.mapping.table.shape != Shape::Person {
            return;
        }
        let id = self.index("external_id");
        let text = |name: &str| columns[self.index(name)].as_string::<i32>();
        let ids = columns[id].as_string::<i32>();
        if ids.null_count() == 0 {
            return;
        }
        let (emails, phones, countries) = (text("email"), text("phone"), text("country"));
        let of = |array: &StringArray, row: usize| {
            array.is_valid(row).then(|| array.value(row).to_owned())
        };
        let named = (0..ids.len()).map(|row| {
            let email = || Some(self.contact_ids.of_email(&of(emails, row)?));
            let phone = || {
                let country = of(countries, row).unwrap_or_default();
                self.contact_ids.of_phone(&of(phones, row)?, &country)
            };
            of(ids, row).or_else(email).or_else(phone)
        });
        columns[id] = Arc::new(named.collect::<StringArray>());
    }

    /// Derives `email_domain` from `email` if the mapping does not yield it.
    fn derive_email_domain(&self, columns: &mut [ArrayRef]) {
        if self.mapping.table.shape != Shape::Person {
            return;
        }
        let (domain, email) = (self.index("email_domain"), self.index("email"));
        let emails = columns[email].as_string::<i32>();
        let domains = columns[domain].as_string::<i32>();
        let derived = domains.iter().zip(emails).map(|(domain, email)| {
            domain.or_else(|| {
                email
                    .and_then(|email| email.rsplit_once('@'))
                    .map(|(_, domain)| domain)
            })
        });
        columns[domain] = Arc::new(derived.collect::<StringArray>());
    }

    /// Moves personal keys from the properties to a separate column.
    fn split_properties(&self, columns: &mut [ArrayRef]) {
        let place = |name: &str| self.schema.index_of(name).ok();
        let places = place(PROPERTIES).zip(place(PERSONAL_PROPERTIES));
        if let Some((open, personal)) = places.filter(|_| !self.mapping.personal.is_empty()) {
            let given = (columns[open].as_string(), columns[personal].as_string());
            let split = self.personal.split_documents(given.0, given.1);
            columns[open] = Arc::new(split.open);
            columns[personal] = Arc::new(split.personal);
        }
    }

    /// The external id of the person that each row refers to.
    fn references(
        &self,
        batch: &RecordBatch,
        faulty: &mut [Option<RowError>],
        odd: &mut ValueWarnings,
    ) -> Result<ArrayRef, ArrowError> {
        let rows = batch.num_rows();
        if self.mapping.table.shape != Shape::Fact {
            return Ok(new_null_array(&DataType::Utf8, rows));
        }
        let [id, email, phone, country] = REFERENCES.each_ref();
        let ids = self.column(batch, id, faulty)?;
        let ids = places::ids(&ids, id.name, odd);
        let emails = self.column(batch, email, faulty)?;
        let phones = self.column(batch, phone, faulty)?;
        let countries = self.column(batch, country, faulty)?;
        let countries = countries.as_string::<i32>();
        let mut found = StringBuilder::with_capacity(rows, rows * 16);
        let names = ids.as_string::<i32>().iter().zip(emails.as_string::<i32>());
        let names = names.zip(phones.as_string::<i32>()).enumerate();
        for (row, ((id, email), phone)) in names {
            match (id, email, phone) {
                (Some(id), ..) => found.append_value(id),
                (None, Some(email), _) => found.append_value(self.contact_ids.of_email(email)),
                (None, None, Some(phone)) => {
                    let country = countries.is_valid(row).then(|| countries.value(row));
                    let country = country.unwrap_or_default();
                    found.append_option(self.contact_ids.of_phone(phone, country));
                }
                (None, None, None) => found.append_null(),
            }
        }
        Ok(Arc::new(found.finish()))
    }

    fn index(&self, name: &str) -> usize {
        self.schema
            .index_of(name)
            .expect("persons have the columns that they are named by")
    }
}

/// The bounds of a type in words, if it has any.
fn bounds(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::Time | ColumnType::Date => " of the years 1 to 9999",
        _ => "",
    }
}

fn missing_values(def: &ColumnDef, values: &ArrayRef, faulty: &mut [Option<RowError>]) {
    for row in (0..values.len()).filter(|&row| values.is_null(row)) {
        faulty[row].get_or_insert_with(|| RowError {
            column: Some(def.name.to_owned()),
            code: "missing_value",
            reason: format!("`{}` is required and has no value", def.name),
            ..blank_fault()
        });
    }
}

/// The reason why a column cannot hold a value.
fn reason(def: &ColumnDef, numbers: NumberStyle) -> String {
    let (column, ty) = (def.name, def.ty.name());
    let is_number = matches!(
        def.ty,
        ColumnType::Int | ColumnType::Float | ColumnType::Decimal
    );
    match numbers {
        _ if is_probability(def) => format!(
            "`{column}` cannot take this value: it is not a probability from 0 to 1, such as 0.75 for 75 %"
        ),
        NumberStyle::Comma if is_number => format!(
            "`{column}` cannot take this value: it is not a {ty} that is written like {}",
            numbers.sample()
        ),
        _ => {
            let bounds = bounds(def.ty);
            format!("`{column}` cannot take this value: it is not a {ty}{bounds}")
        }
    }
}

fn blank_fault() -> RowError {
    RowError {
        file: String::new(),
        line: 0,
        column: None,
        code: "",
        reason: String::new(),
        value: None,
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a ArrayRef, IngestError> {
    batch
        .column_by_name(name)
        .ok_or(IngestError::MissingOutput {
            mapping: String::new(),
            column: name,
            hint: "select it in each subquery and at the top",
        })
}

fn fill(values: &ArrayRef, default: &str) -> Result<ArrayRef, ArrowError> {
    let text = cast(values, &DataType::Utf8)?;
    let filled = text
        .as_string::<i32>()
        .iter()
        .map(|value| Some(value.unwrap_or(default)));
    Ok(Arc::new(filled.collect::<StringArray>()))
}

fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
