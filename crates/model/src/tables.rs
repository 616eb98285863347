//! The canonical tables: their columns are defined only here.
//!
//! Arrow schemas, `docs/TABLES.md` and `rollbook schema` are derived from these definitions.

use crate::table::{ColumnDef, Shape, TableDef};

mod commerce;
mod engagement;
mod own;
mod people;
mod sales;

/// All canonical tables, in the order of documents and listings.
pub const TABLES: &[TableDef] = &[
    people::PERSONS,
    people::IDENTITIES,
    people::ORGANIZATIONS,
    people::PERSON_ORGANIZATIONS,
    people::ADDRESSES,
    people::CONSENTS,
    commerce::ORDERS,
    commerce::ORDER_STATUS_HISTORY,
    commerce::ORDER_LINES,
    commerce::PAYMENTS,
    commerce::REFUNDS,
    commerce::SHIPMENTS,
    commerce::CARTS,
    commerce::PRODUCTS,
    commerce::SUBSCRIPTIONS,
    sales::DEALS,
    sales::DEAL_LINES,
    sales::DEAL_STAGES,
    sales::PIPELINES,
    engagement::ACTIVITIES,
    engagement::CAMPAIGNS,
    engagement::CAMPAIGN_SPEND,
    engagement::TICKETS,
    engagement::OBJECTS,
    own::FX_RATES,
    own::IDENTITY_LOG,
    own::QUARANTINE,
];

/// The table with this name.
pub fn table(name: &str) -> Option<&'static TableDef> {
    TABLES.iter().find(|table| table.name == name)
}

/// The tables that mappings fill.
pub fn mapped_tables() -> impl Iterator<Item = &'static TableDef> {
    TABLES.iter().filter(|table| table.shape != Shape::Own)
}

/// `persons`.
pub const PERSONS: &TableDef = &people::PERSONS;
/// `identities`.
pub const IDENTITIES: &TableDef = &people::IDENTITIES;
/// `identity_log`.
pub const IDENTITY_LOG: &TableDef = &own::IDENTITY_LOG;
/// `quarantine`.
pub const QUARANTINE: &TableDef = &own::QUARANTINE;

const fn fact(
    name: &'static str,
    time: Option<&'static str>,
    meaning: &'static str,
    columns: &'static [ColumnDef],
) -> TableDef {
    TableDef {
        name,
        shape: Shape::Fact,
        time,
        columns,
        meaning,
    }
}

const fn reference(
    name: &'static str,
    meaning: &'static str,
    columns: &'static [ColumnDef],
) -> TableDef {
    TableDef {
        name,
        shape: Shape::Reference,
        time: None,
        columns,
        meaning,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::TABLES;
    use crate::table::Ages;

    #[test]
    fn every_name_is_unique_and_every_column_explained() {
        let mut tables = HashSet::new();
        for table in TABLES {
            assert!(tables.insert(table.name), "table {} twice", table.name);
            let mut columns = HashSet::new();
            for column in table.all_columns() {
                assert!(
                    columns.insert(column.name),
                    "{}.{} twice",
                    table.name,
                    column.name
                );
                assert!(!column.meaning.is_empty(), "{}.{}", table.name, column.name);
                if let Ages::DatedBy(other) = column.ages {
                    assert!(table.column(other).is_some(), "{}.{other}", table.name);
                }
            }
            for column in table.sort_columns() {
                assert!(columns.contains(column), "{} sorts by {column}", table.name);
            }
        }
    }
}
