//! Tables of rollbook's own.

use super::reference;
use crate::table::ColumnType::{Date, Float, Int, Json, Text, Time};
use crate::table::{ColumnDef, Shape, TableDef};

const fn col(name: &'static str, ty: crate::ColumnType, meaning: &'static str) -> ColumnDef {
    ColumnDef::new(name, ty, meaning)
}

pub(super) const FX_RATES: TableDef = reference(
    "fx_rates",
    "what one unit of a currency was worth in the tenant's currency on a day",
    &[
        col("day", Date, "the day, in the tenant's time zone").required(),
        col("currency", Text, "ISO 4217 code of the foreign currency").required(),
        col(
            "rate",
            Float,
            "units of the tenant's currency for one of it",
        )
        .required(),
    ],
);

pub(super) const IDENTITY_LOG: TableDef = TableDef {
    name: "identity_log",
    shape: Shape::Own,
    time: None,
    meaning: "a change of which record is whose, with why",
    columns: &[
        col("entry_id", Text, "given by rollbook, in order of time")
            .required()
            .immutable(),
        col("at", Time, "when").required(),
        col(
            "action",
            Text,
            "linked, moved, ambiguous, decided, undone, erased or readmitted",
        )
        .required(),
        col("identity_id", Int, "the record"),
        col("from_person", Int, "the person it belonged to before"),
        col(
            "to_person",
            Int,
            "the person it belongs to since; 0 = nobody",
        ),
        col("rule", Text, "email, phone or address, or the decision"),
        col("decided_by", Text, "who decided, where somebody did"),
        col("decision", Text, "the entry that this follows from"),
        col(
            "normaliser",
            Int,
            "version of the forms that values are compared in",
        )
        .required(),
        col("evidence", Json, "which rules point to which persons").required(),
    ],
};

pub(super) const QUARANTINE: TableDef = TableDef {
    name: "quarantine",
    shape: Shape::Own,
    time: None,
    meaning: "a row that could not be taken in, with the reason",
    columns: &[
        col(
            "quarantine_id",
            Text,
            "content hash of provider, mapping, place and record",
        )
        .required()
        .immutable(),
        col("batch", Text, "the run that set it aside").required(),
        col("provider", Text, "whose mapping read it").required(),
        col("mapping", Text, "the mapping that read it").required(),
        col("table_name", Text, "the table that it was meant for").required(),
        col("file", Text, "the file it came from").required(),
        col("line", Int, "the line in that file, from 1").required(),
        col("column_name", Text, "the column at fault, where one is"),
        col(
            "code",
            Text,
            "the kind of fault, such as bad_value or ragged",
        )
        .required(),
        col("reason", Text, "what is wrong, in words, without the value").required(),
        col("quarantined_at", Time, "when").required(),
        col("value", Text, "the value at fault").personal(),
        col("record", Text, "the whole record as read, as JSON").personal(),
    ],
};
