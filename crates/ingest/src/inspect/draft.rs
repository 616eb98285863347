//! A draft of a mapping, for the user to finish.

use rollbook_model::{ColumnType, Shape, TableDef};

use super::{ColumnProfile, Kind, Profile, names};

/// A mapping for a file, as far as its names tell; what is left open stands in comments.
///
/// The draft is a whole mapping that runs as it is; whether its guesses are right is
/// for the user to say.
pub fn draft_mapping(profile: &Profile, file_name: &str) -> String {
    let found: Vec<_> = profile
        .columns
        .iter()
        .map(|column| column.column.as_str())
        .collect();
    let def = names::target(file_name, &found);
    let key = names::key(def, &profile.keys);
    let mut taken: Vec<&str> = Vec::new();
    let (mut lines, mut open) = (vec![external_id(profile, key)], Vec::new());
    for column in profile
        .columns
        .iter()
        .filter(|column| Some(column.column.as_str()) != key)
    {
        match names::canonical(def, &column.column).filter(|name| !taken.contains(name)) {
            Some(name) => {
                taken.push(name);
                lines.push(Line {
                    note: column.note.clone(),
                    sql: format!("{} as {name}", expression(def, column, name)),
                });
            }
            None => open.push(column),
        }
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
        .any(|column| column.kind == Kind::Time);
    let zone = if zoneless {
        "-- Times without a zone are read in this one\n"
    } else {
        ""
    };
    format!(
        "-- about: a draft for {}, check every line\n\
         -- table: {table}\n\
         -- source: {table} = {}\n\
         {zone}-- timezone: UTC\n\
         select\n",
        one_line(file_name),
        pattern(file_name),
        table = def.name,
    )
}

/// The pattern of files of that name, whatever their format.
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
            Some(other) => format!("no id, but {} tells the rows apart", quoted(other)),
            None => "no column tells the rows apart: combine some, as in a || '/' || b".to_owned(),
        };
        return Line {
            note: Some(note),
            sql: "cast(null as varchar) as external_id".to_owned(),
        };
    };
    let sampled = "tells the rows apart in the part that was looked at".to_owned();
    Line {
        note: (!profile.complete).then_some(sampled),
        sql: format!("{} as external_id", quoted(key)),
    }
}

/// The column, brought to ISO 8601 where its times have one other format.
fn expression(def: &TableDef, column: &ColumnProfile, name: &str) -> String {
    let source = quoted(&column.column);
    let ty = def.column(name).map(|target| target.ty);
    let wanted = matches!(ty, Some(ColumnType::Time | ColumnType::Date));
    let iso = match column.formats[..] {
        [format] if wanted => in_iso_order(&source, format, column.shortest.unwrap_or_default()),
        _ => None,
    };
    iso.unwrap_or(source)
}

/// Year, month and day of a time in figures, put in order as text.
///
/// `to_date` and `to_timestamp` would end the run at the first value that they cannot read; text
/// that does not match stays what it is, and goes to quarantine as such.
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

/// What is left to do, behind the statement.
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
    let person = ["person_external_id", "person_email"]
        .iter()
        .any(|name| taken.contains(name));
    if def.shape == Shape::Fact && !person {
        text.push_str(
            "-- Still needed to know whose row it is: person_external_id or person_email\n",
        );
    }
    if !open.is_empty() {
        text.push_str("-- Columns without a place so far:\n");
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

/// Always in quotes: a name may have capitals, or be a word of SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Text that cannot end the comment it stands in.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
