//! The text that each Parquet type becomes.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    Float32Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::as_text::as_text;
use crate::tests::{Given, check_error, read};

fn check(array: impl Array + 'static, expected: &[Option<&str>]) {
    let array: ArrayRef = Arc::new(array);
    let texts = as_text(&array).unwrap();
    assert_eq!(texts.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn numbers_are_exact() {
    check(
        Int64Array::from(vec![Some(i64::MIN), None]),
        &[Some("-9223372036854775808"), None],
    );
    check(
        Float64Array::from(vec![0.1, 12345.0, -0.0, 1e300, 2.5e-9, f64::NAN]),
        &[
            Some("0.1"),
            Some("12345"),
            Some("-0"),
            Some("1e300"),
            Some("2.5e-9"),
            Some("NaN"),
        ],
    );
    check(Float32Array::from(vec![0.1]), &[Some("0.1")]);
    let money = Decimal128Array::from(vec![Some(110), Some(-5), None]);
    check(
        money.with_precision_and_scale(19, 2).unwrap(),
        &[Some("1.10"), Some("-0.05"), None],
    );
    check(
        BooleanArray::from(vec![true, false]),
        &[Some("true"), Some("false")],
    );
}

#[test]
fn times_are_rfc_3339_with_a_zone_only_where_there_is_one() {
    let micros = 1_704_164_645_120_000;
    check(
        TimestampMicrosecondArray::from(vec![micros]),
        &[Some("2024-01-02T03:04:05.120")],
    );
    for zone in ["UTC", "America/Sao_Paulo", "+02:00"] {
        let zoned = TimestampMicrosecondArray::from(vec![micros]).with_timezone(zone);
        check(zoned, &[Some("2024-01-02T03:04:05.120Z")]);
    }
    let exact = TimestampNanosecondArray::from(vec![1]).with_timezone("UTC");
    check(exact, &[Some("1970-01-01T00:00:00.000000001Z")]);
    check(Date32Array::from(vec![19_724]), &[Some("2024-01-02")]);
}

#[test]
fn text_is_kept_and_blank_is_null() {
    check(
        StringArray::from(vec![" a ", "", " \u{a0}"]),
        &[Some(" a "), None, None],
    );
    check(
        DictionaryArray::<Int32Type>::from_iter(["x", "", "x"]),
        &[Some("x"), None, Some("x")],
    );
    check(
        BinaryArray::from(vec![&b"ok"[..], b"\xff\x00"]),
        &[Some("ok"), Some("\\xff00")],
    );
}

#[test]
fn nested_values_are_json() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None]), None]);
    check(list, &[Some("[1,null]"), None]);
    let name: ArrayRef = Arc::new(StringArray::from(vec![Some("a\"b"), None]));
    let fields = vec![(Arc::new(Field::new("name", DataType::Utf8, true)), name)];
    check(
        StructArray::from(fields),
        &[Some(r#"{"name":"a\"b"}"#), Some(r#"{"name":null}"#)],
    );
}

fn written(rows: i64) -> Vec<u8> {
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let batch = RecordBatch::try_from_iter([("id", Arc::clone(&id)), (" ", id)]).unwrap();
    let settings = WriterProperties::builder()
        .set_max_row_group_row_count(Some(3))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(settings)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn rows_are_numbered_across_row_groups() {
    for given in [
        Given::new("x.parquet", written(8)),
        Given::new(
            "x.parquet.zst",
            zstd::encode_all(&written(8)[..], 1).unwrap(),
        ),
    ] {
        let found = read(&given);
        assert_eq!(found.columns, ["id", "column_2"]);
        assert_eq!(found.lines(), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(
            found.rows[7].1,
            [Some("7".to_owned()), Some("7".to_owned())]
        );
    }
    assert_eq!(
        read(&Given::new("x.parquet", written(0))).lines(),
        [0_i64; 0]
    );
}

#[test]
fn what_is_no_parquet_is_named() {
    let message = "`x.parquet` is not a whole Parquet file, fetch or export it again";
    check_error(Given::new("x.parquet", "id,name\n1,Ada\n"), message);
    check_error(Given::new("x.parquet", &written(3)[..40]), message);
    check_error(
        Given::new("x.parquet", ""),
        "`x.parquet` is empty, it has no header and no rows",
    );
}
