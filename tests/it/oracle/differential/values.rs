//! The values of rows and criteria that differ between the worlds.

use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// The values of one world.
pub(super) struct Values {
    /// The time zone of the tenant.
    pub(super) zone: &'static str,
    /// The tenant's currency.
    pub(super) currency: &'static str,
    /// Currencies of amounts; the empty one is a missing currency.
    pub(super) currencies: &'static [&'static str],
    /// Types of activities.
    pub(super) activities: &'static [&'static str],
    /// Channels of activities; the empty one is a missing channel.
    pub(super) channels: &'static [&'static str],
    pub(super) categories: &'static [&'static str],
    pub(super) products: &'static [&'static str],
    /// The column of people with a place, and its values.
    pub(super) place: (&'static str, &'static [&'static str]),
    pub(super) owners: &'static [&'static str],
    /// Literal ends of windows, in order.
    pub(super) days: &'static [&'static str],
}

pub(super) const GENERATED: Values = Values {
    zone: "Europe/Berlin",
    currency: "EUR",
    currencies: &["EUR", "EUR", "GBP", "JPY", ""],
    activities: &[
        "page_viewed",
        "email_clicked",
        "email_opened",
        "form_submitted",
    ],
    channels: &["email", "direct", "organic", ""],
    categories: &["clothing", "tents", "footwear"],
    products: &["CLO-001", "KIT-002", "TEN-001"],
    place: ("country", &["DE", "FR", "IT"]),
    owners: &["rep-1", "rep-4"],
    days: &[
        "2024-07-01",
        "2025-01-01",
        "2025-05-20",
        "2025-06-16",
        "2025-07-01T12:00:00Z",
    ],
};

pub(super) const OLIST: Values = Values {
    zone: "America/Sao_Paulo",
    currency: "BRL",
    currencies: &["BRL", "BRL", "USD", "JPY", ""],
    activities: &["first_contact", "page_viewed", "email_clicked"],
    channels: &["organic_search", "paid_search", "email", ""],
    categories: &["bed_bath_table", "health_beauty", "sports_leisure"],
    products: &[
        "aca2eb7d00ea1a7b8ebd4e68314663af",
        "389d119b48cf3043d311335e499d9c6b",
        "SKU-1",
    ],
    place: ("region", &["SP", "RJ", "MG"]),
    owners: &["4ef15afb4b2723d8f3d81e51ec7afefe", "rep-1"],
    days: &[
        "2017-07-01",
        "2018-01-01",
        "2018-02-20",
        "2018-03-02",
        "2018-03-20T12:00:00Z",
    ],
};

/// One of these, at random.
pub(super) fn one_of<T: Copy>(dice: &mut ChaCha8Rng, all: &[T]) -> T {
    *all.choose(dice).unwrap()
}
