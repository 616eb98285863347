//! Draft of a mapping, for the user to complete.

use rollbook_model::{ColumnType, Shape, TableDef};

use super::deal_status::{self, DealStatus};
use super::text::{keys, one_line, quoted};
use super::{ColumnKind, ColumnProfile, Profile, kind, names};
use crate::mapping::numbers::{NumberStyle, is_only_point};
use crate::mapping::{PERSONAL_PROPERTIES, PROPERTIES};

/// Drafts a mapping for a file, guessing from its column names; open points are comments.
///
/// The draft is complete and runs unchanged, but the user has to check its guesses.
pub fn draft_mapping(profile: &Profile, file_name: &str) -> String {
    let found: Vec<_> = profile
        .columns
        .iter()
        .map(|column| column.column.as_str())
        .collect();
    let def = names::target(file_name, &found);
    let key = names::key(def, &profile.keys);
    let closing = DealStatus::of(def, profile);
    let mut taken: Vec<&str> = Vec::new();
    let (mut lines, mut open) = (vec![external_id(profile, key)], Vec::new());
    for column in profile
        .columns
        .iter()
        .filter(|column| Some(column.column.as_str()) != key)
    {
        match names::canonical(def, &column.column).filter(|name| !taken.contains(name)) {
            Some("closed_at") if closing.is_some() && deal_status::is_planned(&column.column) => {
                let is_closed = closing
                    .as_ref()
                    .and_then(|known| known.is_closed.as_deref());
                lines.extend(planned(def, column, is_closed, &mut taken));
            }
            Some(name) => {
                taken.push(name);
                let (note, sql) = match percents(column, name) {
                    Some(sql) => (Some("percents, divided by 100".to_owned()), sql),
                    None => (column.note.clone(), expression(def, profile, column, name)),
                };
                lines.push(Line {
                    note,
                    sql: format!("{sql} as {name}"),
                });
            }
            None => open.push(column),
        }
    }
    if let Some(status) = closing.and_then(|known| known.status) {
        taken.push("status");
        lines.push(Line {
            note: Some("check these words".to_owned()),
            sql: format!("{status} as status"),
        });
    }
    let mut text = header(def, profile, file_name);
    let last = lines.len() - 1;
    for (at, line) in lines.iter().enumerate() {
        if let Some(note) = &line.note {
            text.push_str(&format!("    -- {}\n", one_line(note)));
        }
        text.push_str(&format!(
            "    {}{}\n",
            line.sql,
            if at == last { "" } else { "," }
        ));
    }
    text.push_str(&format!("from {}\n", def.name));
    text.push_str(&remarks(def, &taken, &open));
    text
}

struct Line {
    note: Option<String>,
    sql: String,
}

fn header(def: &TableDef, profile: &Profile, file_name: &str) -> String {
    let zoneless = profile
        .columns
        .iter()
        .any(|column| column.kind == ColumnKind::Time);
    let zone = if zoneless {
        "-- Times without a zone are read in this one\n"
    } else {
        ""
    };
    let numbers = match has_commas(profile) {
        true => format!("-- numbers: {}\n", NumberStyle::Comma.sample()),
        false => String::new(),
    };
    let personal = personal(def, profile);
    let part = match profile.complete {
        true => String::new(),
        false => format!(
            "-- From the first {} rows of the file, which has more\n",
            profile.rows
        ),
    };
    format!(
        "-- about: a draft for {}, check every line\n\
         {part}-- table: {table}\n\
         -- source: {table} = {}\n\
         {zone}-- timezone: UTC\n\
         {numbers}{personal}select\n",
        one_line(file_name),
        pattern(file_name),
        table = def.name,
    )
}

/// The header line with the personal keys of the properties.
fn personal(def: &TableDef, profile: &Profile) -> String {
    let can_be = def.column(PERSONAL_PROPERTIES).is_some();
    let is_properties =
        |column: &&ColumnProfile| names::canonical(def, &column.column) == Some(PROPERTIES);
    let column = profile.columns.iter().find(is_properties);
    match column.filter(|column| can_be && !column.personal.is_empty()) {
        Some(column) => format!("-- personal: {}\n", keys(&column.personal)),
        None => String::new(),
    }
}

/// The pattern of files with this name, in any format.
fn pattern(file_name: &str) -> String {
    let stem = file_name.split('.').next().unwrap_or_default();
    // What a pattern, or a header line, would take for something else stands for any character.
    let plain = |c: char| {
        if c.is_control() || "*?|".contains(c) {
            '?'
        } else {
            c
        }
    };
    let stem: String = stem.trim().chars().map(plain).collect();
    if stem.is_empty() {
        "*".to_owned()
    } else {
        format!("{stem}.*|{stem}")
    }
}

fn external_id(profile: &Profile, key: Option<&str>) -> Line {
    let Some(key) = key else {
        let other = profile.keys.first();
        let note = match other {
            Some(other) => format!("no id, but {} is unique", quoted(other)),
            None => "no column is unique: combine some, as in a || '/' || b".to_owned(),
        };
        return Line {
            note: Some(note),
            sql: "cast(null as varchar) as external_id".to_owned(),
        };
    };
    let note = match (profile.complete, profile.rows) {
        (false, _) => Some("unique in the profiled rows"),
        (true, 1) => Some("chosen by its name: the file has one row"),
        (true, _) => None,
    };
    Line {
        note: note.map(str::to_owned),
        sql: format!("{} as external_id", quoted(key)),
    }
}

/// The closing day of a deal, as the actual and as the planned one.
fn planned(
    def: &TableDef,
    column: &ColumnProfile,
    is_closed: Option<&str>,
    taken: &mut Vec<&str>,
) -> Vec<Line> {
    let day = in_iso(def, column, "closed_at");
    let expected = (!taken.contains(&"expected_close_date")).then(|| {
        taken.push("expected_close_date");
        Line {
            note: column.note.clone(),
            sql: format!("{day} as expected_close_date"),
        }
    });
    let closed = is_closed.map(|is_closed| {
        taken.push("closed_at");
        Line {
            note: Some("only of closed deals".to_owned()),
            sql: format!("case when {is_closed} then {day} end as closed_at"),
        }
    });
    expected.into_iter().chain(closed).collect()
}

/// The column as a probability from 0 to 1, if it has percentages. Text that is not a number is unchanged.
fn percents(column: &ColumnProfile, name: &str) -> Option<String> {
    if name != "probability" {
        return None;
    }
    let style = match has_comma(column) {
        true => NumberStyle::Comma,
        false => NumberStyle::Point,
    };
    let largest = column
        .max
        .as_deref()
        .and_then(|max| kind::number(max, style));
    let has_sign = column.examples.iter().any(|value| value.ends_with('%'));
    let source = quoted(&column.column);
    (has_sign || largest.is_some_and(|largest| largest > 1.0)).then(|| {
        format!(
            "coalesce(cast(try_cast(rtrim({source}, ' %') as double) / 100 as varchar), {source})"
        )
    })
}

fn has_comma(column: &ColumnProfile) -> bool {
    column.numbers == Some(NumberStyle::Comma.sample())
}

/// Whether some column's numbers have a decimal comma.
fn has_commas(profile: &Profile) -> bool {
    profile.columns.iter().any(has_comma)
}

/// The column as ingest reads it. In a file with decimal commas, a number that can only have a decimal point
/// gets a comma, too.
fn expression(def: &TableDef, profile: &Profile, column: &ColumnProfile, name: &str) -> String {
    let ty = def.column(name).map(|target| target.ty);
    let is_number = matches!(
        ty,
        Some(ColumnType::Int | ColumnType::Float | ColumnType::Decimal)
    );
    let points_alone = column.kind == ColumnKind::Decimal
        && [&column.min, &column.max]
            .into_iter()
            .flatten()
            .any(|value| is_only_point(value));
    if is_number && points_alone && !has_comma(column) && has_commas(profile) {
        return format!("replace({}, '.', ',')", quoted(&column.column));
    }
    in_iso(def, column, name)
}

/// The column converted to ISO 8601, if its times have one other format.
fn in_iso(def: &TableDef, column: &ColumnProfile, name: &str) -> String {
    let source = quoted(&column.column);
    let ty = def.column(name).map(|target| target.ty);
    let wanted = matches!(ty, Some(ColumnType::Time | ColumnType::Date));
    let iso = match column.formats[..] {
        [format] if wanted => in_iso_order(&source, format, column.shortest.unwrap_or_default()),
        _ => None,
    };
    iso.unwrap_or(source)
}

/// Reorders year, month and day of a numeric time, as text.
///
/// `to_date` and `to_timestamp` would end the run at the first value that they cannot read; text that does
/// not match is unchanged, and goes to quarantine.
fn in_iso_order(source: &str, format: &str, shortest: u32) -> Option<String> {
    let (date, time) = format.split_once(' ').unwrap_or((format, ""));
    let width = match time {
        "" => 10,
        "%H:%M" => 16,
        "%H:%M:%S" => 19,
        _ => return None,
    };
    if date == "%Y%m%d" {
        let (found, order) = (r"^(\d{4})(\d\d)(\d\d)$", r"\1-\2-\3");
        return Some(format!("regexp_replace({source}, '{found}', '{order}')"));
    }
    let (fields, order) = match date.as_bytes() {
        [b'%', b'd', _, b'%', b'm', _, b'%', b'Y'] => ([2, 2, 4], r"\3-\2-\1"),
        [b'%', b'm', _, b'%', b'd', _, b'%', b'Y'] => ([2, 2, 4], r"\3-\1-\2"),
        [b'%', b'Y', b'/', b'%', b'm', _, b'%', b'd'] => ([4, 2, 2], r"\1-\2-\3"),
        _ => return None,
    };
    let between = if date.contains('.') {
        r"\."
    } else {
        &date[2..3]
    };
    let found = fields
        .map(|digits| format!(r"(\d{{{digits}}})"))
        .join(between);
    let padded = match shortest < width {
        true => format!(r"regexp_replace({source}, '\b(\d)\b', '0\1', 'g')"),
        false => source.to_owned(),
    };
    Some(format!("regexp_replace({padded}, '^{found}', '{order}')"))
}

/// Remarks on open points, as comments after the statement.
fn remarks(def: &TableDef, taken: &[&str], open: &[&ColumnProfile]) -> String {
    let mut text = String::new();
    let missing = def
        .columns
        .iter()
        .filter(|c| !c.nullable && !taken.contains(&c.name));
    let missing: Vec<_> = missing.map(|column| column.name).collect();
    if !missing.is_empty() {
        text.push_str(&format!("-- Still needed: {}\n", missing.join(", ")));
    }
    let person = ["person_external_id", "person_email", "person_phone"]
        .iter()
        .any(|name| taken.contains(name));
    if def.shape == Shape::Fact && !person {
        text.push_str(
            "-- Still needed to link rows to persons: person_external_id, person_email or person_phone\n",
        );
    }
    if !open.is_empty() {
        text.push_str("-- Columns that are not mapped yet:\n");
    }
    for column in open {
        let kind = column.kind.name();
        let note = column
            .note
            .iter()
            .map(|note| format!(", {}", one_line(note)));
        let note: String = note.collect();
        text.push_str(&format!(
            "--   {} ({kind}{note})\n",
            one_line(&quoted(&column.column))
        ));
    }
    text
}
