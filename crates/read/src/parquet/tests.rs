//! The text form of each Parquet type.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
    Decimal256Array, DictionaryArray, DurationMillisecondArray, Float16Array, Float32Array,
    Float64Array, Int32Builder, Int64Array, ListArray, MapBuilder, NullArray, RecordBatch,
    StringArray, StringBuilder, StructArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, Float16Type, Int32Type, i256};
use parquet::arrow::ArrowWriter;
use parquet::data_type::{FixedLenByteArray, FixedLenByteArrayType, Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use super::as_text::as_text;
use crate::tests::{Given, check_error, read};

fn check(array: impl Array + 'static, expected: &[Option<&str>]) {
    let array: ArrayRef = Arc::new(array);
    let texts = as_text(&array, &[]).unwrap();
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

fn half(number: f32) -> <Float16Type as ArrowPrimitiveType>::Native {
    let single = Float32Array::from(vec![number]);
    let halves = cast(&single, &DataType::Float16).unwrap();
    halves.as_primitive::<Float16Type>().value(0)
}

#[test]
fn every_other_arrow_type_has_a_text_form() {
    let wide = Decimal256Array::from(vec![i256::from_i128(-12_345)]);
    check(
        wide.with_precision_and_scale(50, 3).unwrap(),
        &[Some("-12.345")],
    );
    check(
        UInt64Array::from(vec![u64::MAX]),
        &[Some("18446744073709551615")],
    );
    check(
        Float16Array::from_iter_values([0.5, -2.0].map(half)),
        &[Some("0.5"), Some("-2")],
    );
    check(
        Time64MicrosecondArray::from(vec![36_000_000_000]),
        &[Some("10:00:00")],
    );
    check(
        DurationMillisecondArray::from(vec![1_500]),
        &[Some("PT1.5S")],
    );
    check(NullArray::new(2), &[None, None]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("a");
    map.values().append_value(1);
    map.append(true).unwrap();
    check(map.finish(), &[Some(r#"{"a":1}"#)]);
}

#[test]
fn impossible_time_is_refused_alone() {
    check(
        TimestampMillisecondArray::from(vec![Some(0), Some(i64::MAX), None]),
        &[
            Some("1970-01-01T00:00:00"),
            Some("9223372036854775807 (in no calendar)"),
            None,
        ],
    );
    check(
        Date32Array::from(vec![i32::MAX, 0]),
        &[Some("2147483647 (in no calendar)"), Some("1970-01-01")],
    );
}

/// A file of one row group in which each row has the values of `columns` in order.
fn raw(schema: &str, columns: &[&dyn Fn(&mut SerializedColumnWriter<'_>)]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let settings = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, settings).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for write in columns {
        let mut column = group.next_column().unwrap().unwrap();
        write(&mut column);
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.into_inner().unwrap()
}

const SOME: Option<&[i16]> = Some(&[1, 1, 0]);

fn uuids(column: &mut SerializedColumnWriter<'_>) {
    // The second one would be text, were it no UUID.
    let values = [[0xff_u8; 16], [b'a'; 16]].map(|bytes| FixedLenByteArray::from(bytes.to_vec()));
    let typed = column.typed::<FixedLenByteArrayType>();
    typed.write_batch(&values, SOME, None).unwrap();
}

fn intervals(column: &mut SerializedColumnWriter<'_>) {
    let parts = [[14_u32, 2, 90_500], [0, 0, 0]];
    let values = parts.map(|parts| {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_le_bytes()).collect();
        FixedLenByteArray::from(bytes)
    });
    let typed = column.typed::<FixedLenByteArrayType>();
    typed.write_batch(&values, SOME, None).unwrap();
}

fn old_times(column: &mut SerializedColumnWriter<'_>) {
    // The days are Julian: 1970-01-01, and 9999-12-31, which nanoseconds do not reach.
    let values = [2_440_588_u32, 5_373_484].map(|day| {
        let mut value = Int96::new();
        value.set_data(1_000_000_000, 0, day);
        value
    });
    let typed = column.typed::<Int96Type>();
    typed.write_batch(&values, SOME, None).unwrap();
}

fn rows_of(given: &Given) -> Vec<Vec<Option<String>>> {
    read(given).rows.into_iter().map(|row| row.1).collect()
}

#[test]
fn uuids_intervals_and_int96_are_exact() {
    let schema = "message m { optional fixed_len_byte_array(16) id (UUID); \
        optional fixed_len_byte_array(12) term (INTERVAL); optional int96 at; \
        optional fixed_len_byte_array(16) hash; }";
    let file = raw(schema, &[&uuids, &intervals, &old_times, &uuids]);
    let found = rows_of(&Given::new("x.parquet", file));
    let row = |values: [&str; 4]| values.map(|value| Some(value.to_owned())).to_vec();
    assert_eq!(
        found,
        [
            row([
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
                "P14M2DT90.5S",
                "1970-01-01T00:00:01",
                &format!("\\x{}", "ff".repeat(16)),
            ]),
            row([
                "61616161-6161-6161-6161-616161616161",
                "P0D",
                "9999-12-31T00:00:01",
                "aaaaaaaaaaaaaaaa",
            ]),
            vec![None; 4],
        ]
    );
}

#[test]
fn nested_uuids_are_text_and_nested_intervals_are_refused() {
    let schema = "message m { optional group g { optional fixed_len_byte_array(16) id (UUID); } }";
    let nested = |column: &mut SerializedColumnWriter<'_>| {
        let typed = column.typed::<FixedLenByteArrayType>();
        let id = FixedLenByteArray::from(vec![0xff_u8; 16]);
        typed.write_batch(&[id], Some(&[2]), None).unwrap();
    };
    let found = rows_of(&Given::new("x.parquet", raw(schema, &[&nested])));
    let expected = r#"{"id":"ffffffff-ffff-ffff-ffff-ffffffffffff"}"#;
    assert_eq!(found, [[Some(expected.to_owned())]]);
    let schema =
        "message m { optional group g { optional fixed_len_byte_array(12) t (INTERVAL); } }";
    let nested = |column: &mut SerializedColumnWriter<'_>| {
        let typed = column.typed::<FixedLenByteArrayType>();
        let term = FixedLenByteArray::from(vec![1_u8; 12]);
        typed.write_batch(&[term], Some(&[2]), None).unwrap();
    };
    let given = Given::new("x.parquet", raw(schema, &[&nested]));
    check_error(
        given,
        "column `g` of `x.parquet` cannot be read as text, leave it out of the export",
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
fn other_files_are_not_read_as_parquet() {
    let message = "`x.parquet` is not a complete Parquet file: fetch or export it again";
    check_error(Given::new("x.parquet", "id,name\n1,Ada\n"), message);
    check_error(Given::new("x.parquet", &written(3)[..40]), message);
    check_error(
        Given::new("x.parquet", ""),
        "`x.parquet` is empty, it has no header and no rows",
    );
}

#[test]
fn numbers_are_written_with_the_declared_decimal_sign() {
    let decimal = Decimal128Array::from(vec![1_234])
        .with_precision_and_scale(9, 3)
        .unwrap();
    let columns: [(&str, ArrayRef); 3] = [
        ("a", Arc::new(Float64Array::from(vec![1.5]))),
        ("b", Arc::new(StringArray::from(vec!["1.5"]))),
        ("c", Arc::new(decimal)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let mut given = Given::new("x.parquet", writer.into_inner().unwrap());
    given.file.decimal_comma = true;
    let cells = ["1,5", "1.5", "1,234"].map(|cell| Some(cell.to_owned()));
    assert_eq!(rows_of(&given), [cells]);
}
