//! Reading order of a person's columns: name, contact, consent, address, work, purchases, activity, record.

use rollbook_engine::columns_of_people;
use rollbook_model::ColumnType;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// Columns of `people` in groups. Other columns, such as custom traits, follow by name.
const ORDER: [&[&str]; 8] = [
    &[
        "person_id",
        "display_name",
        "first_name",
        "last_name",
        "date_of_birth",
        "lifecycle_stage",
        "lead_status",
        "is_user",
        "is_customer",
        "is_lead",
        "is_contact",
        "is_vendor",
        "is_employee",
        "vip_status",
        "source",
        "tags",
        "note",
    ],
    &[
        "email",
        "email_verified",
        "email_domain",
        "phone",
        "phone_verified",
        "preferred_contact_method",
        "timezone",
    ],
    &[
        "accepts_email_marketing",
        "accepts_sms_marketing",
        "marketing_opt_in_date",
        "gdpr_consent",
        "gdpr_consent_date",
        "data_retention_date",
    ],
    &[
        "address_line1",
        "address_line2",
        "city",
        "region",
        "postal_code",
        "country",
    ],
    &[
        "job_title",
        "department",
        "organization_id",
        "reports_to",
        "assigned_to",
        "next_follow_up_date",
    ],
    &[
        "order_count",
        "paid_order_count",
        "total_spent",
        "average_order_value",
        "first_order_at",
        "last_order_at",
        "unconverted_amount_count",
        "loyalty_points",
        "loyalty_tier",
        "open_deal_count",
        "open_deal_value",
        "won_deal_value",
        "unconverted_deal_count",
    ],
    &[
        "last_activity_at",
        "last_seen_at",
        "open_ticket_count",
        "created_at",
        "updated_at",
    ],
    &["identity_id", "provider", "external_id", "custom"],
];

/// Columns of the rows that belong to a person: scores, records, deals, tickets, campaigns.
const OF_ROWS: [&str; 25] = [
    "kind",
    "person_id",
    "score",
    "probability",
    "identity_id",
    "provider",
    "external_id",
    "campaign_id",
    "name",
    "pipeline",
    "stage",
    "status",
    "priority",
    "category",
    "channel",
    "value",
    "currency",
    "activities",
    "created_at",
    "opened_at",
    "closed_at",
    "satisfaction",
    "first_at",
    "first_seen_at",
    "last_at",
];

/// The columns of `people` with their types, in reading order.
pub fn columns() -> impl Iterator<Item = (&'static str, ColumnType)> {
    let mut columns: Vec<_> = columns_of_people().collect();
    columns.sort_by_key(|(name, _)| position(&ORDER.concat(), name));
    columns.into_iter()
}

/// The columns of a person with their values, in reading order.
pub fn in_reading_order(person: &Value) -> Vec<(&str, &Value)> {
    in_order(person, &ORDER.concat())
}

fn in_order<'a>(row: &'a Value, order: &[&str]) -> Vec<(&'a str, &'a Value)> {
    let mut columns: Vec<(&str, &Value)> = row
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    columns.sort_by_key(|(name, _)| position(order, name));
    columns
}

fn position(order: &[&str], name: &str) -> usize {
    let found = order.iter().position(|known| *known == name);
    found.unwrap_or(usize::MAX)
}

/// Serializes a person's columns in reading order.
///
/// # Errors
/// The serializer cannot write a name or a value.
pub fn serialize<S: Serializer>(person: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    write(person, &ORDER.concat(), serializer)
}

/// Serializes rows that belong to a person, with their columns in reading order.
///
/// # Errors
/// The serializer cannot write a name or a value.
pub fn serialize_all<S: Serializer>(rows: &[Value], serializer: S) -> Result<S::Ok, S::Error> {
    struct Row<'a>(&'a Value);
    impl Serialize for Row<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            write(self.0, &OF_ROWS, serializer)
        }
    }
    let mut list = serializer.serialize_seq(Some(rows.len()))?;
    for row in rows {
        list.serialize_element(&Row(row))?;
    }
    list.end()
}

fn write<S: Serializer>(row: &Value, order: &[&str], serializer: S) -> Result<S::Ok, S::Error> {
    if !row.is_object() {
        return row.serialize(serializer);
    }
    let columns = in_order(row, order);
    let mut map = serializer.serialize_map(Some(columns.len()))?;
    for (name, value) in columns {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::{ORDER, in_reading_order};

    #[test]
    fn order_lists_every_column_of_people() {
        let ordered: Vec<&str> = ORDER.iter().copied().flatten().copied().collect();
        let known: BTreeSet<String> = crate::persons::columns()
            .map(|(name, _)| name.to_owned())
            .collect();
        let each: BTreeSet<String> = ordered.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(each.len(), ordered.len());
        assert_eq!(each, known);
    }

    #[test]
    fn other_columns_follow_by_name() {
        let person = json!({"wealth": 1, "email": "a@b.co", "age": 2, "person_id": 3});
        let names: Vec<&str> = in_reading_order(&person).iter().map(|one| one.0).collect();
        assert_eq!(names, ["person_id", "email", "age", "wealth"]);
    }
}
