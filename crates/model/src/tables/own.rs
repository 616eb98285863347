//! Tables that rollbook itself defines: exchange rates, the identity log, quarantine.

use super::reference;
use crate::table::ColumnType::{Date, Float, Int, Json, Text, Time};
use crate::table::{ColumnDef, Shape, TableDef};

const fn col(name: &'static str, ty: crate::ColumnType, meaning: &'static str) -> ColumnDef {
    ColumnDef::new(name, ty, meaning)
}

pub(super) const FX_RATES: TableDef = reference(
    "fx_rates",
    "an exchange rate to the tenant's currency on a day",
    &[
        col("day", Date, "day in the tenant's time zone").required(),
        col("currency", Text, "ISO 4217 code of the foreign currency").required(),
        col("rate", Float, "value of one unit in the tenant's currency").required(),
    ],
);

pub(super) const IDENTITY_LOG: TableDef = TableDef {
    name: "identity_log",
    shape: Shape::Own,
    time: None,
    meaning: "a change of the person that a record belongs to, with the reason",
    columns: &[
        col(
            "entry_id",
            Text,
            "id of the entry, assigned by rollbook in order of time",
        )
        .required()
        .immutable(),
        col("at", Time, "when it changed").required(),
        col(
            "action",
            Text,
            "linked, moved, ambiguous, decided, undone, erased or readmitted",
        )
        .required(),
        col("identity_id", Int, "id of the record"),
        col(
            "from_person",
            Int,
            "person that the record belonged to before",
        ),
        col(
            "to_person",
            Int,
            "person that the record belongs to since then; 0 = none",
        ),
        col(
            "rule",
            Text,
            "match rule (email, phone or address) or kind of decision",
        ),
        col("decided_by", Text, "who decided; empty if no one did"),
        col(
            "decision",
            Text,
            "entry of the decision that caused this change",
        ),
        col(
            "normaliser",
            Int,
            "version of the normal forms in which values are compared",
        )
        .required(),
        col(
            "evidence",
            Json,
            "rules that match, each with the matching persons",
        )
        .required(),
    ],
};

pub(super) const QUARANTINE: TableDef = TableDef {
    name: "quarantine",
    shape: Shape::Own,
    time: None,
    meaning: "a row that could not be ingested, with the reason",
    columns: &[
        col(
            "quarantine_id",
            Text,
            "hash of provider, mapping, file, line and record",
        )
        .required()
        .immutable(),
        col("batch", Text, "ingest run that quarantined the row").required(),
        col("provider", Text, "provider of the mapping").required(),
        col("mapping", Text, "mapping that read the row").required(),
        col("table_name", Text, "table that the mapping fills").required(),
        col("file", Text, "file of the row").required(),
        col("line", Int, "line in the file, from 1").required(),
        col(
            "column_name",
            Text,
            "column with the error, if it is in one",
        ),
        col(
            "code",
            Text,
            "code of the error, such as bad_value or ragged",
        )
        .required(),
        col("reason", Text, "the error in words, without the value").required(),
        col("quarantined_at", Time, "when it was quarantined").required(),
        col("value", Text, "value that caused the error").personal(),
        col("record", Text, "whole record as read, as JSON").personal(),
    ],
};
