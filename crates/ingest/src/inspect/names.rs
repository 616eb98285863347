//! Guesses from the names of files and columns: the canonical table, and the canonical column.

use rollbook_model::{Shape, TableDef, nearest, tables};

/// Words in file names, and the tables that they suggest; the first that occurs counts. One that begins with
/// `_` counts only at the beginning of a word: `locally` is not `call`.
const FILES: [(&str, &str); 50] = [
    ("status_history", "order_status_history"),
    ("opportunity_line", "deal_lines"),
    ("opportunity_product", "deal_lines"),
    ("opportunity_stage", "pipelines"),
    ("opportunity_history", "deal_stages"),
    ("deal_product", "deal_lines"),
    ("order_item", "order_lines"),
    ("order_line", "order_lines"),
    ("line_item", "order_lines"),
    ("deal_line", "deal_lines"),
    ("deal_stage", "deal_stages"),
    ("pipeline", "pipelines"),
    ("refund", "refunds"),
    ("payment", "payments"),
    ("transaction", "payments"),
    ("shipment", "shipments"),
    ("cart", "carts"),
    ("checkout", "carts"),
    ("subscription", "subscriptions"),
    ("spend", "campaign_spend"),
    ("campaign", "campaigns"),
    ("fx_rate", "fx_rates"),
    ("exchange_rate", "fx_rates"),
    ("ticket", "tickets"),
    ("address", "addresses"),
    ("product", "products"),
    ("event", "activities"),
    ("activit", "activities"),
    ("touch", "activities"),
    ("session", "activities"),
    ("engagement", "activities"),
    ("_task", "activities"),
    ("_call", "activities"),
    ("_meeting", "activities"),
    ("_appointment", "activities"),
    ("order", "orders"),
    ("deal", "deals"),
    ("opportunit", "deals"),
    ("lead", "persons"),
    ("contact", "persons"),
    ("customer", "persons"),
    ("person", "persons"),
    ("people", "persons"),
    ("member", "persons"),
    ("user", "persons"),
    ("compan", "organizations"),
    ("organization", "organizations"),
    ("seller", "organizations"),
    ("_account", "organizations"),
    ("_case", "tickets"),
];
/// The weight of a word in the file name, compared with matching columns.
const FILE_WEIGHT: usize = 5;

/// Names of canonical columns in sources, if they are far from the canonical name. If a source name stands
/// for several columns, that of the target table is meant, else the first.
const SYNONYMS: [(&str, &str); 68] = [
    ("created", "created_at"),
    ("created_date", "created_at"),
    ("create_date", "created_at"),
    ("joined", "created_at"),
    ("signup_date", "created_at"),
    ("updated", "updated_at"),
    ("modified", "updated_at"),
    ("last_modified", "updated_at"),
    ("last_modified_date", "updated_at"),
    ("order_date", "placed_at"),
    ("purchase_timestamp", "placed_at"),
    ("purchased_at", "placed_at"),
    ("invoice_date", "placed_at"),
    ("created_at", "placed_at"),
    ("approved_at", "paid_at"),
    ("financial_status", "status"),
    ("state", "status"),
    ("amount", "total"),
    ("total_price", "total"),
    ("amount", "value"),
    ("value", "amount"),
    ("price", "unit_price"),
    ("unit_price", "price"),
    ("qty", "quantity"),
    ("freight_value", "shipping"),
    ("given_name", "first_name"),
    ("surname", "last_name"),
    ("family_name", "last_name"),
    ("full_name", "display_name"),
    ("name", "display_name"),
    ("title", "name"),
    ("name", "title"),
    ("e_mail", "email"),
    ("mail", "email"),
    ("email_address", "email"),
    ("mobile", "phone"),
    ("phone_number", "phone"),
    ("zip", "postal_code"),
    ("zip_code", "postal_code"),
    ("postcode", "postal_code"),
    ("state", "region"),
    ("province", "region"),
    ("country_code", "country"),
    ("origin", "source"),
    ("lead_source", "source"),
    ("company_id", "organization_id"),
    ("account_id", "organization_id"),
    ("owner_id", "owner"),
    ("opportunity_id", "deal_id"),
    ("product2_id", "product_id"),
    ("currency_iso_code", "currency"),
    ("what_id", "subject_id"),
    ("activity_date", "occurred_at"),
    ("created_date", "opened_at"),
    ("sort_order", "position"),
    ("stage_name", "stage"),
    ("timestamp", "occurred_at"),
    ("event_time", "occurred_at"),
    ("time", "occurred_at"),
    ("event_type", "type"),
    ("event_properties", "properties"),
    ("payload", "properties"),
    ("payment_type", "method"),
    ("payment_value", "amount"),
    ("won_date", "closed_at"),
    ("close_date", "closed_at"),
    ("closedate", "closed_at"),
    ("closed_date", "closed_at"),
];

const PERSON_IDS: [&str; 10] = [
    "person_external_id",
    "customer_id",
    "person_id",
    "user_id",
    "contact_id",
    "lead_id",
    "member_id",
    "visitor_id",
    "who_id",
    "customer",
];
const PERSON_EMAILS: [&str; 6] = [
    "person_email",
    "email",
    "e_mail",
    "mail",
    "email_address",
    "customer_email",
];
const PERSON_PHONES: [&str; 5] = [
    "person_phone",
    "phone",
    "phone_number",
    "customer_phone",
    "billing_phone",
];

/// The table that a file most likely belongs to.
pub(super) fn target(file_name: &str, columns: &[&str]) -> &'static TableDef {
    let file = format!("_{}", snake(file_name));
    let named = FILES
        .iter()
        .find(|(word, _)| file.contains(word))
        .map(|(_, table)| *table);
    let of_deal = |column: &&str| ["deal_id", "opportunity_id"].contains(&snake(column).as_str());
    let named = match named {
        Some("order_lines") if columns.iter().any(of_deal) => Some("deal_lines"),
        named => named,
    };
    let mut best = (0, tables::PERSONS);
    for def in tables::mapped_tables() {
        let matched = columns
            .iter()
            .filter(|column| canonical(def, column).is_some())
            .count();
        let score = matched
            + if named == Some(def.name) {
                FILE_WEIGHT
            } else {
                0
            };
        if score > best.0 {
            best = (score, def);
        }
    }
    best.1
}

/// The canonical column that a source column most likely corresponds to.
pub(super) fn canonical(def: &TableDef, source: &str) -> Option<&'static str> {
    let name = snake(source);
    let ours = |wanted: &str| {
        def.columns
            .iter()
            .map(|c| c.name)
            .find(|column| *column == wanted)
    };
    let known = |name: &str| {
        let synonyms = SYNONYMS.iter().filter(|(theirs, _)| *theirs == name);
        ours(name).or_else(|| synonyms.filter_map(|(_, column)| ours(column)).next())
    };
    if def.shape == Shape::Fact && PERSON_IDS.contains(&name.as_str()) {
        return Some("person_external_id");
    }
    if def.shape == Shape::Fact && PERSON_EMAILS.contains(&name.as_str()) {
        return Some("person_email");
    }
    if def.shape == Shape::Fact && PERSON_PHONES.contains(&name.as_str()) {
        return Some("person_phone");
    }
    // `order_status` of an order is its `status`.
    let bare = name
        .strip_prefix(&format!("{}_", singular(def)))
        .filter(|bare| *bare != "id");
    known(&name).or_else(|| bare.and_then(known)).or_else(|| {
        let near = nearest(&name, def.columns.iter().map(|column| column.name))?;
        // Only names that are nearly the same: a wrong guess costs more than an open line.
        let numbered = near.ends_with(|c: char| c.is_ascii_digit());
        let most = if near.len() < 8 { 1 } else { 2 };
        let same = !numbered && strsim::levenshtein(near, &name) <= most;
        same.then(|| ours(near)).flatten()
    })
}

/// Whether a column name looks like that of an id.
pub(super) fn looks_like_id(name: &str) -> bool {
    let name = snake(name);
    ["id", "uuid", "guid", "key", "number", "no"]
        .iter()
        .any(|word| {
            name == *word
                || name
                    .strip_suffix(word)
                    .is_some_and(|rest| rest.ends_with('_'))
        })
}

/// The key column: the one named after the table (`order_id` of orders), else the first id column.
pub(super) fn key<'a>(def: &TableDef, keys: &'a [String]) -> Option<&'a str> {
    let own = ["id".to_owned(), format!("{}_id", singular(def))];
    let named = keys.iter().find(|key| own.contains(&snake(key)));
    let id = || keys.iter().find(|key| looks_like_id(key));
    named.or_else(id).map(String::as_str)
}

/// A name in snake case: `TotalVisits`, `Total Visits` and `total-visits` become `total_visits`.
pub(super) fn snake(name: &str) -> String {
    let mut text = String::new();
    let mut after_small = false;
    for c in name.trim().chars() {
        let parts = !c.is_alphanumeric() || (after_small && c.is_uppercase());
        if parts && !text.is_empty() && !text.ends_with('_') {
            text.push('_');
        }
        if c.is_alphanumeric() {
            text.extend(c.to_lowercase());
        }
        after_small = c.is_lowercase() || c.is_ascii_digit();
    }
    text.trim_matches('_').to_owned()
}

fn singular(def: &TableDef) -> String {
    let name = def.name;
    match name.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None if name.ends_with("sses") => name.trim_end_matches("es").to_owned(),
        None => name.strip_suffix('s').unwrap_or(name).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rollbook_model::tables;

    use super::{FILES, SYNONYMS, canonical, key, looks_like_id, snake, target};

    #[test]
    fn file_and_column_names_are_matched_to_tables() {
        for (file, columns, table) in [
            (
                "olist_orders_dataset.csv",
                &["order_id", "order_status"][..],
                "orders",
            ),
            (
                "olist_order_items_dataset.csv",
                &["order_id", "price"],
                "order_lines",
            ),
            (
                "export.csv",
                &["First Name", "Last Name", "Email", "Phone"],
                "persons",
            ),
            (
                "export.csv",
                &["Deal Name", "Pipeline", "Stage", "Probability"],
                "deals",
            ),
            ("export.csv", &["x", "y"], "persons"),
            (
                "Task.csv",
                &[
                    "Id",
                    "WhoId",
                    "Subject",
                    "ActivityDate",
                    "Status",
                    "CreatedDate",
                ],
                "activities",
            ),
            (
                "OpportunityLineItem.csv",
                &[
                    "Id",
                    "OpportunityId",
                    "Product2Id",
                    "Quantity",
                    "UnitPrice",
                    "TotalPrice",
                ],
                "deal_lines",
            ),
            (
                "Opportunity.csv",
                &[
                    "Id",
                    "Name",
                    "StageName",
                    "Amount",
                    "CloseDate",
                    "IsClosed",
                    "IsWon",
                ],
                "deals",
            ),
            (
                "Case.csv",
                &["Id", "Status", "Priority", "ClosedDate"],
                "tickets",
            ),
            ("Account.csv", &["Id", "Name", "Industry"], "organizations"),
            (
                "bought_locally.csv",
                &["order_id", "sku", "quantity", "unit_price"],
                "order_lines",
            ),
        ] {
            assert_eq!(target(file, columns).name, table, "{file} {columns:?}");
        }
    }

    #[test]
    fn columns_match_by_name_synonym_prefix_and_similarity() {
        let check = |table: &str, source: &str, expected: Option<&str>| {
            assert_eq!(
                canonical(tables::table(table).unwrap(), source),
                expected,
                "{source}"
            );
        };
        check("orders", "Order Status", Some("status"));
        check("orders", "order_purchase_timestamp", Some("placed_at"));
        check("orders", "customerId", Some("person_external_id"));
        check("orders", "Email", Some("person_email"));
        check("orders", "Phone", Some("person_phone"));
        check("persons", "Phone", Some("phone"));
        check("orders", "Subtotl", Some("subtotal"));
        check("orders", "order_estimated_delivery_date", None);
        check("persons", "State", Some("region"));
        check("persons", "EMail", Some("email"));
        check("deals", "Deal Name", Some("name"));
        check("addresses", "line3", None);
    }

    #[test]
    fn id_and_key_columns_are_recognized() {
        assert!(looks_like_id("Lead Number") && looks_like_id("ProspectID") && looks_like_id("id"));
        assert!(!looks_like_id("paid") && !looks_like_id("valid") && !looks_like_id("casino"));
        let keys = ["customer_id".to_owned(), "order_id".to_owned()];
        assert_eq!(
            key(tables::table("orders").unwrap(), &keys),
            Some("order_id")
        );
        assert_eq!(snake(" TotalVisits (web)"), "total_visits_web");
    }

    #[test]
    fn known_names_map_to_existing_tables_and_columns() {
        for (_, table) in FILES {
            assert!(tables::table(table).is_some(), "{table}");
        }
        for (_, column) in SYNONYMS {
            let known = tables::mapped_tables().any(|def| def.column(column).is_some());
            assert!(known, "{column}");
        }
    }
}
