//! A draft of a mapping, for the user to finish.

use std::fmt::Write;

use rollbook_model::{Shape, TableDef, nearest, tables};

use super::{Kind, Profile};

/// Words in the names of columns that speak for a table.
const SIGNS: [(&str, &[&str]); 5] = [
    (
        "orders",
        &[
            "order", "total", "subtotal", "currency", "paid", "shipping", "purchase",
        ],
    ),
    (
        "order_lines",
        &["item", "line", "sku", "quantity", "unit", "product"],
    ),
    (
        "deals",
        &["deal", "stage", "pipeline", "won", "probability", "close"],
    ),
    (
        "persons",
        &[
            "email", "first", "last", "phone", "lead", "customer", "contact", "city", "country",
        ],
    ),
    (
        "activities",
        &[
            "event",
            "type",
            "channel",
            "session",
            "occurred",
            "timestamp",
            "click",
        ],
    ),
];

/// What sources call our columns, where the names are far apart.
const SYNONYMS: [(&str, &str); 30] = [
    ("created", "created_at"),
    ("created_date", "created_at"),
    ("updated", "updated_at"),
    ("modified", "updated_at"),
    ("order_date", "placed_at"),
    ("purchase_timestamp", "placed_at"),
    ("order_purchase_timestamp", "placed_at"),
    ("order_approved_at", "paid_at"),
    ("order_status", "status"),
    ("financial_status", "status"),
    ("amount", "total"),
    ("price", "unit_price"),
    ("qty", "quantity"),
    ("given_name", "first_name"),
    ("surname", "last_name"),
    ("full_name", "display_name"),
    ("e_mail", "email"),
    ("email_address", "email"),
    ("mobile", "phone"),
    ("zip", "postal_code"),
    ("zip_code", "postal_code"),
    ("postcode", "postal_code"),
    ("state", "region"),
    ("province", "region"),
    ("lead_source", "source"),
    ("company", "organization_id"),
    ("timestamp", "occurred_at"),
    ("event_time", "occurred_at"),
    ("event_type", "type"),
    ("won_date", "closed_at"),
];

/// A mapping for a file, as far as its names tell; what is left open stands in comments.
pub fn draft_mapping(profile: &Profile, file_name: &str) -> String {
    let def = target(profile, file_name);
    let stem = file_name.split('.').next().unwrap_or(file_name);
    let mut text = format!(
        "-- about: a draft for {file_name}: check every line\n-- table: {}\n-- source: rows = {stem}.*\n-- timezone: UTC\nselect\n",
        def.name
    );
    let mut taken: Vec<&str> = Vec::new();
    let (mut lines, mut open) = (Vec::new(), Vec::new());
    let key = profile.keys.first();
    match key {
        Some(key) => lines.push(format!("  {} as external_id", quoted(key))),
        None => lines
            .push("  null as external_id -- no column tells rows apart: combine some".to_owned()),
    }
    for column in profile
        .columns
        .iter()
        .filter(|column| Some(&column.column) != key)
    {
        match canonical(def, &column.column).filter(|name| !taken.contains(name)) {
            Some(name) => {
                taken.push(name);
                lines.push(format!("  {} as {name}", quoted(&column.column)));
            }
            None if column.kind == Kind::Blank => {}
            None => open.push(format!(
                "  -- {} ({:?})",
                quoted(&column.column),
                column.kind
            )),
        }
    }
    text.push_str(&lines.join(",\n"));
    text.push_str("\nfrom rows\n");
    if !open.is_empty() {
        text.push_str("-- columns without a place so far:\n");
        for line in open {
            let _ = writeln!(text, "{line}");
        }
    }
    let missing: Vec<_> = def
        .columns
        .iter()
        .filter(|column| !column.nullable && !taken.contains(&column.name))
        .map(|column| column.name)
        .collect();
    if !missing.is_empty() {
        let _ = writeln!(text, "-- still needed: {}", missing.join(", "));
    }
    text
}

/// Whether a name is that of an id.
pub(super) fn looks_like_id(name: &str) -> bool {
    let name = snake(name);
    name == "id" || name.ends_with("_id") || name.ends_with("_number") || name.ends_with("_key")
}

fn target(profile: &Profile, file_name: &str) -> &'static TableDef {
    let file = snake(file_name);
    let names: Vec<String> = profile
        .columns
        .iter()
        .map(|column| snake(&column.column))
        .collect();
    let score = |words: &[&str]| {
        let in_columns = names
            .iter()
            .filter(|name| words.iter().any(|word| name.contains(word)));
        in_columns.count() + 3 * words.iter().filter(|word| file.contains(**word)).count()
    };
    let best = SIGNS.iter().max_by_key(|(_, words)| score(words));
    best.and_then(|(name, _)| tables::table(name))
        .unwrap_or(tables::PERSONS)
}

fn canonical(def: &TableDef, source: &str) -> Option<&'static str> {
    let name = snake(source);
    let named = |wanted: &str| {
        def.columns
            .iter()
            .map(|c| c.name)
            .find(|column| *column == wanted)
    };
    let synonym = SYNONYMS
        .iter()
        .find(|(theirs, _)| *theirs == name)
        .and_then(|(_, ours)| named(ours));
    let person = def.shape == Shape::Fact
        && ["customer_id", "person_id", "user_id", "contact_id"].contains(&name.as_str());
    if person {
        return Some("person_external_id");
    }
    named(&name).or(synonym).or_else(|| {
        let candidates = def.columns.iter().map(|column| column.name);
        // Only names that are nearly the same: a wrong guess costs more than an open line.
        nearest(&name, candidates).filter(|near| strsim::levenshtein(near, &name) <= 2)
    })
}

fn snake(name: &str) -> String {
    let mut text = String::new();
    for c in name.trim().chars() {
        if c.is_alphanumeric() {
            text.extend(c.to_lowercase());
        } else if !text.ends_with('_') {
            text.push('_');
        }
    }
    text.trim_matches('_').to_owned()
}

fn quoted(name: &str) -> String {
    let plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain && !name.starts_with(|c: char| c.is_ascii_digit()) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}
