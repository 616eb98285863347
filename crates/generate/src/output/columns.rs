//! The generated files and their columns.

/// A file to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Persons,
    Organizations,
    Orders,
    OrderLines,
    Refunds,
    Products,
    Deals,
    Pipelines,
    Activities,
    Campaigns,
    CampaignSpend,
    Tickets,
    FxRates,
    Addresses,
    TruthLeads,
    TruthCustomers,
    TruthVariants,
    TruthIdentities,
}

impl Table {
    /// The files of every run.
    pub(crate) const ALWAYS: [Self; 13] = [
        Self::Persons,
        Self::Organizations,
        Self::Orders,
        Self::OrderLines,
        Self::Refunds,
        Self::Products,
        Self::Deals,
        Self::Pipelines,
        Self::Activities,
        Self::Campaigns,
        Self::CampaignSpend,
        Self::Tickets,
        Self::FxRates,
    ];
    /// Files that are written with second records of persons.
    pub(crate) const OF_SECOND_RECORDS: [Self; 1] = [Self::Addresses];
    /// Files of the ground truth.
    pub(crate) const TRUTH: [Self; 4] = [
        Self::TruthLeads,
        Self::TruthCustomers,
        Self::TruthVariants,
        Self::TruthIdentities,
    ];
    /// All tables, in the order of their declaration.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let asked_for = Self::OF_SECOND_RECORDS.into_iter().chain(Self::TRUTH);
        Self::ALWAYS.into_iter().chain(asked_for)
    }

    pub(crate) fn is_truth(self) -> bool {
        Self::TRUTH.contains(&self)
    }

    /// The canonical table of these rows, which is also the file's name without extension. Mappings read no
    /// file of the ground truth.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Persons => "persons",
            Self::Organizations => "organizations",
            Self::Orders => "orders",
            Self::OrderLines => "order_lines",
            Self::Refunds => "refunds",
            Self::Products => "products",
            Self::Deals => "deals",
            Self::Pipelines => "pipelines",
            Self::Activities => "activities",
            Self::Campaigns => "campaigns",
            Self::CampaignSpend => "campaign_spend",
            Self::Tickets => "tickets",
            Self::FxRates => "fx_rates",
            Self::Addresses => "addresses",
            Self::TruthLeads => "truth/leads",
            Self::TruthCustomers => "truth/customers",
            Self::TruthVariants => "truth/variants",
            Self::TruthIdentities => "truth/identities",
        }
    }

    /// The columns of this table. With second records, persons also have a `provider`.
    pub(crate) fn columns(self, second_records: bool) -> &'static [&'static str] {
        match self.all_columns() {
            [columns @ .., "provider"] if self == Self::Persons && !second_records => columns,
            columns => columns,
        }
    }

    /// The columns in order: `external_id`, for facts `person_external_id`, and the canonical columns that
    /// are filled.
    fn all_columns(self) -> &'static [&'static str] {
        match self {
            Self::Persons => &[
                "external_id",
                "display_name",
                "first_name",
                "last_name",
                "email",
                "email_verified",
                "phone",
                "phone_verified",
                "job_title",
                "department",
                "organization_id",
                "assigned_to",
                "next_follow_up_date",
                "preferred_contact_method",
                "city",
                "region",
                "postal_code",
                "country",
                "timezone",
                "is_user",
                "is_customer",
                "is_lead",
                "is_contact",
                "is_vendor",
                "is_employee",
                "lifecycle_stage",
                "lead_status",
                "source",
                "tags",
                "loyalty_points",
                "loyalty_tier",
                "vip_status",
                "accepts_email_marketing",
                "accepts_sms_marketing",
                "marketing_opt_in_date",
                "gdpr_consent",
                "gdpr_consent_date",
                "custom",
                "created_at",
                "updated_at",
                "last_seen_at",
                "provider",
            ],
            Self::Organizations => &[
                "external_id",
                "name",
                "domain",
                "industry",
                "employee_count",
                "annual_revenue",
                "currency",
                "country",
                "payment_terms",
                "created_at",
                "updated_at",
            ],
            Self::Orders => &[
                "external_id",
                "person_external_id",
                "status",
                "currency",
                "subtotal",
                "discount",
                "tax",
                "shipping",
                "total",
                "placed_at",
                "paid_at",
                "cancelled_at",
                "source_name",
                "campaign_id",
            ],
            Self::OrderLines => &[
                "external_id",
                "person_external_id",
                "order_id",
                "line",
                "product_id",
                "sku",
                "title",
                "category",
                "quantity",
                "unit_price",
                "discount",
                "total",
                "currency",
                "placed_at",
            ],
            Self::Refunds => &[
                "external_id",
                "person_external_id",
                "order_id",
                "line_id",
                "amount",
                "currency",
                "refunded_at",
                "is_time_estimated",
            ],
            Self::Products => &[
                "external_id",
                "name",
                "sku",
                "category",
                "price",
                "currency",
                "is_active",
                "properties",
            ],
            Self::Deals => &[
                "external_id",
                "person_external_id",
                "organization_id",
                "pipeline",
                "stage",
                "status",
                "lost_reason",
                "name",
                "value",
                "currency",
                "probability",
                "owner",
                "expected_close_date",
                "is_recurring",
                "created_at",
                "closed_at",
                "updated_at",
            ],
            Self::Pipelines => &[
                "external_id",
                "pipeline",
                "stage",
                "position",
                "probability",
                "is_won",
                "is_lost",
            ],
            Self::Activities => &[
                "external_id",
                "person_external_id",
                "type",
                "channel",
                "campaign_id",
                "direction",
                "thread_id",
                "subject_type",
                "subject_id",
                "occurred_at",
                "properties",
            ],
            Self::Campaigns => &[
                "external_id",
                "name",
                "type",
                "channel",
                "status",
                "starts_at",
                "ends_at",
                "budget",
                "currency",
                "variant",
            ],
            Self::CampaignSpend => &[
                "external_id",
                "campaign_id",
                "day",
                "amount",
                "currency",
                "impressions",
                "clicks",
            ],
            Self::Tickets => &[
                "external_id",
                "person_external_id",
                "status",
                "priority",
                "category",
                "opened_at",
                "closed_at",
                "satisfaction",
            ],
            Self::FxRates => &["external_id", "day", "currency", "rate"],
            Self::Addresses => &[
                "external_id",
                "person_external_id",
                "entity_type",
                "entity_id",
                "address_type",
                "line1",
                "city",
                "region",
                "postal_code",
                "country",
                "is_default",
                "provider",
            ],
            Self::TruthLeads => &[
                "person_external_id",
                "created_at",
                "decides_from",
                "decides_until",
                "probability",
            ],
            Self::TruthCustomers => &["person_external_id", "first_order_at", "left_at"],
            Self::TruthVariants => &["campaign_id", "variant", "click_rate"],
            Self::TruthIdentities => &["provider", "external_id", "human"],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rollbook_model::{Shape, tables};

    use super::Table;

    #[test]
    fn every_column_is_one_of_its_canonical_table() {
        for (at, table) in Table::all().enumerate() {
            assert_eq!(table as usize, at, "rows are found by the place in `all`");
        }
        for table in Table::all().filter(|table| !table.is_truth()) {
            let canonical = tables::table(table.name()).unwrap();
            let columns: HashSet<&str> = table.all_columns().iter().copied().collect();
            assert_eq!(
                columns.len(),
                table.all_columns().len(),
                "{table:?} names a column twice"
            );
            for column in &columns {
                let person = *column == "person_external_id" && canonical.shape == Shape::Fact;
                assert!(
                    person || canonical.column(column).is_some(),
                    "{table:?}.{column}"
                );
            }
            for column in canonical.columns.iter().filter(|column| !column.nullable) {
                assert!(
                    columns.contains(column.name),
                    "{table:?}.{} is required",
                    column.name
                );
            }
        }
    }
}
