//! The built-in traits: which text of `queries/traits` computes each of them, and their values for
//! persons without facts.

use rollbook_model::ColumnType;
use rollbook_model::tables::PERSONS;
use rollbook_queries::traits;

/// Traits that one query computes together.
#[derive(Debug)]
pub(crate) struct TraitGroup {
    /// The alias that `people` joins the group under.
    pub(crate) name: &'static str,
    /// One `select` with `person_id` and the traits.
    pub(crate) sql: &'static str,
    /// The columns beside `person_id`.
    pub(crate) traits: &'static [Trait],
}

/// One computed column of `people`.
#[derive(Debug)]
pub(crate) struct Trait {
    pub(crate) name: &'static str,
    pub(crate) ty: ColumnType,
    /// Whether the trait is 0 for persons without facts; otherwise it is null for them.
    pub(crate) is_zero_without_facts: bool,
}

const fn counted(name: &'static str) -> Trait {
    Trait {
        name,
        ty: ColumnType::Int,
        is_zero_without_facts: true,
    }
}

const fn summed(name: &'static str) -> Trait {
    Trait {
        name,
        ty: ColumnType::Decimal,
        is_zero_without_facts: true,
    }
}

const fn or_null(name: &'static str, ty: ColumnType) -> Trait {
    Trait {
        name,
        ty,
        is_zero_without_facts: false,
    }
}

/// All groups, in the order of their columns in `people`.
pub(crate) const TRAIT_GROUPS: &[TraitGroup] = &[
    TraitGroup {
        name: "order_traits",
        sql: traits::ORDERS,
        traits: &[
            counted("order_count"),
            or_null("first_order_at", ColumnType::Time),
            or_null("last_order_at", ColumnType::Time),
        ],
    },
    TraitGroup {
        name: "revenue_traits",
        sql: traits::REVENUE,
        traits: &[
            counted("paid_order_count"),
            summed("total_spent"),
            or_null("average_order_value", ColumnType::Decimal),
            counted("unconverted_amount_count"),
        ],
    },
    TraitGroup {
        name: "deal_traits",
        sql: traits::DEALS,
        traits: &[
            counted("open_deal_count"),
            summed("open_deal_value"),
            summed("won_deal_value"),
            counted("unconverted_deal_count"),
        ],
    },
    TraitGroup {
        name: "activity_traits",
        sql: traits::ACTIVITIES,
        traits: &[or_null("last_activity_at", ColumnType::Time)],
    },
    TraitGroup {
        name: "ticket_traits",
        sql: traits::TICKETS,
        traits: &[counted("open_ticket_count")],
    },
];

/// The columns of `persons` that follow the table `consents`: in `people`, the latest consent counts, and the
/// value of the person's record if there is none.
pub(crate) const CONSENTS: TraitGroup = TraitGroup {
    name: "consent_traits",
    sql: traits::CONSENTS,
    traits: &[
        or_null("accepts_email_marketing", ColumnType::Bool),
        or_null("accepts_sms_marketing", ColumnType::Bool),
        or_null("marketing_opt_in_date", ColumnType::Time),
        or_null("gdpr_consent", ColumnType::Bool),
        or_null("gdpr_consent_date", ColumnType::Time),
    ],
};

/// Whether a column of `people` follows the table `consents`.
pub(crate) fn is_consent(name: &str) -> bool {
    CONSENTS.traits.iter().any(|one| one.name == name)
}

/// Whether a column of `people` is a built-in trait.
pub(crate) fn is_trait(name: &str) -> bool {
    let mut all = TRAIT_GROUPS.iter().flat_map(|group| group.traits);
    all.any(|one| one.name == name)
}

/// The columns that `people` has for every tenant, in order.
pub fn columns_of_people() -> impl Iterator<Item = (&'static str, ColumnType)> {
    let traits = TRAIT_GROUPS.iter().flat_map(|group| group.traits);
    let persons = PERSONS.all_columns().map(|column| (column.name, column.ty));
    persons.chain(traits.map(|one| (one.name, one.ty)))
}

/// Whether `people` has a column of this name for every tenant.
pub fn is_column_of_people(name: &str) -> bool {
    columns_of_people().any(|(column, _)| column == name)
}
