//! What the made-up business sells and how it advertises: products, campaigns, exchange rates.

use crate::calendar::{DAY, DAYS, END, MONTHS, START, running_sum};
use crate::dice::Dice;

/// A product on sale.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) category: &'static str,
    /// Cents of a euro.
    pub(crate) price: i64,
    pub(crate) is_active: bool,
    pub(crate) weight_grams: u64,
}

/// A campaign that reaches persons through one channel.
#[derive(Debug)]
pub(crate) struct Campaign {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) channel: &'static str,
    pub(crate) starts_at: i64,
    pub(crate) ends_at: i64,
    /// Cents of a euro for the whole of it; 0 where it costs nothing by the day.
    pub(crate) budget: i64,
}

/// Everything that persons choose from.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) products: Vec<Product>,
    pub(crate) campaigns: Vec<Campaign>,
    /// Newsletters and promotions by mail, in the order in which they are sent.
    pub(crate) mailings: Vec<usize>,
    popularity: Vec<u64>,
    paid: Vec<[Vec<usize>; 2]>,
}

const CATEGORIES: [(&str, &str, i64, [&str; 5]); 6] = [
    (
        "tents",
        "TEN",
        12_900,
        ["Tent", "Tarp", "Bivouac", "Awning", "Hammock"],
    ),
    (
        "backpacks",
        "BAC",
        5_900,
        ["Backpack", "Daypack", "Duffel", "Hip Pack", "Pannier"],
    ),
    (
        "clothing",
        "CLO",
        3_900,
        ["Parka", "Fleece", "Base Layer", "Trousers", "Cap"],
    ),
    (
        "footwear",
        "FOO",
        7_900,
        ["Boots", "Trail Shoes", "Sandals", "Gaiters", "Insoles"],
    ),
    (
        "kitchen",
        "KIT",
        1_900,
        ["Stove", "Kettle", "Pan Set", "Mug", "Bottle"],
    ),
    (
        "lighting",
        "LIG",
        2_400,
        [
            "Headlamp",
            "Lantern",
            "Torch",
            "String Lights",
            "Power Bank",
        ],
    ),
];
const SERIES: [&str; 4] = ["Fjälla", "Nørdvik", "Élan", "Birch"];

impl Catalog {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let products = products(dice);
        let campaigns = campaigns(dice);
        // Zipf: the n-th product sells one n-th as often as the first.
        let popularity = running_sum(
            (1..)
                .take(products.len())
                .map(|rank: u64| 1_000_000 / (rank + 3)),
        );
        let mailings: Vec<usize> = (0..campaigns.len())
            .filter(|at| is_mailing(&campaigns[*at]))
            .collect();
        let paid = (0..MONTHS).map(|month| {
            ["paid_search", "social"].map(|channel| {
                let middle = START + (DAYS * (2 * to_i64(month) + 1) / 48) * DAY;
                let runs = |at: &usize| {
                    let campaign = &campaigns[*at];
                    campaign.channel == channel
                        && (campaign.starts_at..=campaign.ends_at).contains(&middle)
                };
                (0..campaigns.len()).filter(runs).collect()
            })
        });
        let paid = paid.collect();
        Self {
            products,
            campaigns,
            mailings,
            popularity,
            paid,
        }
    }

    /// A product, the popular ones more often.
    pub(crate) fn product(&self, dice: &mut Dice) -> usize {
        dice.along(&self.popularity)
    }

    /// A campaign that a visit by this channel may be owed to in that month.
    pub(crate) fn campaign(
        &self,
        dice: &mut Dice,
        channel: &str,
        month: usize,
        at: i64,
    ) -> Option<usize> {
        let candidates: &[usize] = match channel {
            "paid_search" => &self.paid[month][0],
            "social" => &self.paid[month][1],
            "email" => {
                let sent = self
                    .mailings
                    .partition_point(|one| self.campaigns[*one].starts_at < at);
                &self.mailings[sent.saturating_sub(2)..sent]
            }
            _ => &[],
        };
        (!candidates.is_empty()).then(|| dice.pick(candidates))
    }
}

fn is_mailing(campaign: &Campaign) -> bool {
    campaign.channel == "email" && campaign.kind != "automation"
}

fn products(dice: &mut Dice) -> Vec<Product> {
    let mut products = Vec::new();
    for (step, series) in (1_i64..).zip(SERIES) {
        for noun in 0..5 {
            for (category, code, price, nouns) in CATEGORIES {
                let place = to_i64(noun) * 4 + step;
                let price = price * (60 + 12 * step + dice.between(0, 60)) / 100;
                products.push(Product {
                    sku: format!("{code}-{place:03}"),
                    name: format!("{series} {}", nouns[noun]),
                    category,
                    price: price / 100 * 100 + dice.pick(&[0, 50, 90, 95]),
                    is_active: !dice.chance(60),
                    weight_grams: 80 + 10 * dice.below(240),
                });
            }
        }
    }
    // The order of the list is the order of popularity.
    for at in (1..products.len()).rev() {
        products.swap(at, dice.index(at + 1));
    }
    products
}

fn campaigns(dice: &mut Dice) -> Vec<Campaign> {
    let mut campaigns = Vec::new();
    for (id, name) in [
        ("welcome", "Welcome"),
        ("cart", "Cart reminder"),
        ("back", "Come back"),
    ] {
        campaigns.push(Campaign {
            id: format!("auto-{id}"),
            name: name.to_owned(),
            kind: "automation",
            channel: "email",
            starts_at: START,
            ends_at: END,
            budget: 0,
        });
    }
    for number in 0..52 {
        let starts_at = START + (3 + 14 * number) * DAY + 8 * 3_600;
        campaigns.push(Campaign {
            id: format!("news-{:02}", number + 1),
            name: format!("Newsletter {}", number + 1),
            kind: "newsletter",
            channel: "email",
            starts_at,
            ends_at: (starts_at + 7 * DAY).min(END),
            budget: 0,
        });
    }
    for year in [2024, 2025] {
        let new_year = START + if year == 2024 { 0 } else { 366 * DAY };
        for (id, name, day) in [
            ("spring", "Spring outdoors", 80),
            ("black-week", "Black Week", 326),
            ("xmas", "Christmas", 342),
        ] {
            let starts_at = new_year + day * DAY + 7 * 3_600;
            campaigns.push(Campaign {
                id: format!("{id}-{year}"),
                name: format!("{name} {year}"),
                kind: "promotion",
                channel: "email",
                starts_at,
                ends_at: starts_at + 9 * DAY,
                budget: 0,
            });
        }
    }
    for quarter in 0..8 {
        let (year, number) = (2024 + quarter / 4, quarter % 4 + 1);
        for (id, name, channel, budget) in [
            ("search-brand", "Brand search", "paid_search", 400_000),
            ("search-shopping", "Shopping ads", "paid_search", 900_000),
            ("social-video", "Trail stories", "social", 500_000),
        ] {
            campaigns.push(Campaign {
                id: format!("{id}-{year}q{number}"),
                name: format!("{name} {year} Q{number}"),
                kind: "ads",
                channel,
                starts_at: START + DAYS * quarter / 8 * DAY,
                ends_at: START + DAYS * (quarter + 1) / 8 * DAY - 1,
                budget: budget + dice.between(0, 200) * 1_000,
            });
        }
    }
    campaigns.sort_by(|one, other| (one.starts_at, &one.id).cmp(&(other.starts_at, &other.id)));
    campaigns
}

fn to_i64(number: usize) -> i64 {
    i64::try_from(number).expect("a list shorter than i64")
}
