//! The products, campaigns and exchange rates of the fictional business.

use crate::calendar::{DAY, DAYS, END, MONTHS, START, running_sum};
use crate::dice::Dice;

/// A product on sale.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) category: &'static str,
    /// In euro cents.
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
    /// The total budget in euro cents; 0 without daily costs.
    pub(crate) budget: i64,
    /// The variant in an A/B test, if it is one.
    pub(crate) variant: Option<&'static str>,
    /// Clicks per 1,000 opened mails; 0 for campaigns without mailings to all.
    pub(crate) click_rate: u64,
}

/// A mailing to all who agreed; each person gets one of its variants.
#[derive(Debug)]
pub(crate) struct Mailing {
    pub(crate) starts_at: i64,
    /// The campaigns of the variants; a single one without a test.
    arms: Vec<usize>,
}

impl Mailing {
    /// The campaign (test variant) of this mailing that a person is sent, always the same one.
    pub(crate) fn arm(&self, person: u64) -> usize {
        let mixed = (person ^ self.starts_at.unsigned_abs()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let arms = u64::try_from(self.arms.len()).expect("a short list");
        let arm = usize::try_from((mixed >> 32) % arms).expect("an index of the list");
        self.arms[arm]
    }
}

/// Products and campaigns.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) products: Vec<Product>,
    pub(crate) campaigns: Vec<Campaign>,
    /// Newsletters and promotions by e-mail, in the order in which they are sent.
    pub(crate) mailings: Vec<Mailing>,
    /// The welcome mail.
    pub(crate) welcome: usize,
    /// Promotions by e-mail, in the order in which they are sent.
    promotions: Vec<usize>,
    /// Mails to single persons who abandoned a cart or stayed away.
    reminders: Vec<usize>,
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
/// The campaign of the welcome mail.
const WELCOME: &str = "auto-welcome";
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
        let of_kind = |kind: &str| -> Vec<usize> {
            let is_meant = |at: &usize| campaigns[*at].kind == kind;
            (0..campaigns.len()).filter(is_meant).collect()
        };
        let mailings = mailings(&campaigns);
        let promotions = of_kind("promotion");
        let (welcome, reminders) = of_kind("automation")
            .into_iter()
            .partition::<Vec<_>, _>(|at| campaigns[*at].id == WELCOME);
        let welcome = welcome[0];
        let paid = (0..MONTHS).map(|month| {
            ["paid_search", "paid_social"].map(|channel| {
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
            welcome,
            promotions,
            reminders,
            popularity,
            paid,
        }
    }

    /// A random product; popular ones are more likely.
    pub(crate) fn product(&self, dice: &mut Dice) -> usize {
        dice.along(&self.popularity)
    }

    /// A campaign that can have caused a visit through this channel in that month.
    pub(crate) fn campaign(
        &self,
        dice: &mut Dice,
        channel: &str,
        month: usize,
        at: i64,
    ) -> Option<usize> {
        let candidates: &[usize] = match channel {
            "paid_search" => &self.paid[month][0],
            "paid_social" => &self.paid[month][1],
            "email" => self.mail_to_order_by(at),
            _ => &[],
        };
        (!candidates.is_empty()).then(|| dice.pick(candidates))
    }

    /// The campaigns through which somebody orders from a mail: the current promotion, else a reminder. Never
    /// a newsletter, since its clicks depend only on its variant.
    fn mail_to_order_by(&self, at: i64) -> &[usize] {
        let sent = self
            .promotions
            .partition_point(|one| self.campaigns[*one].starts_at < at);
        let last = &self.promotions[sent.saturating_sub(1)..sent];
        match last {
            [one] if at <= self.campaigns[*one].ends_at => last,
            _ => &self.reminders,
        }
    }
}

/// The campaigns that are mailed to all; those that start together are variants of one mailing.
fn mailings(campaigns: &[Campaign]) -> Vec<Mailing> {
    let mut mailings: Vec<Mailing> = Vec::new();
    for (at, campaign) in campaigns.iter().enumerate() {
        if campaign.click_rate == 0 {
            continue;
        }
        match mailings.last_mut() {
            Some(last) if campaign.variant.is_some() && last.starts_at == campaign.starts_at => {
                last.arms.push(at);
            }
            _ => mailings.push(Mailing {
                starts_at: campaign.starts_at,
                arms: vec![at],
            }),
        }
    }
    mailings
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
        (WELCOME, "Welcome"),
        ("auto-cart", "Cart reminder"),
        ("auto-back", "Come back"),
    ] {
        campaigns.push(Campaign {
            id: id.to_owned(),
            name: name.to_owned(),
            kind: "automation",
            channel: "email",
            starts_at: START,
            ends_at: END,
            budget: 0,
            variant: None,
            click_rate: 0,
        });
    }
    for number in 0..52 {
        let starts_at = START + (3 + 14 * number) * DAY + 8 * 3_600;
        // Half of the readers get another subject line, which some weeks makes a difference.
        let click_rate = 250 + dice.below(151);
        let other_rate = click_rate * dice.pick(&[75, 100, 125, 160]) / 100;
        for (variant, click_rate) in [("a", click_rate), ("b", other_rate)] {
            campaigns.push(Campaign {
                id: format!("news-{:02}-{variant}", number + 1),
                name: format!("Newsletter {}", number + 1),
                kind: "newsletter",
                channel: "email",
                starts_at,
                ends_at: (starts_at + 7 * DAY).min(END),
                budget: 0,
                variant: Some(variant),
                click_rate,
            });
        }
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
                variant: None,
                click_rate: 450,
            });
        }
    }
    for quarter in 0..8 {
        let (year, number) = (2024 + quarter / 4, quarter % 4 + 1);
        for (id, name, channel, budget) in [
            ("search-brand", "Brand search", "paid_search", 400_000),
            ("search-shopping", "Shopping ads", "paid_search", 900_000),
            ("social-video", "Trail stories", "paid_social", 500_000),
        ] {
            campaigns.push(Campaign {
                id: format!("{id}-{year}q{number}"),
                name: format!("{name} {year} Q{number}"),
                kind: "ads",
                channel,
                starts_at: START + DAYS * quarter / 8 * DAY,
                ends_at: START + DAYS * (quarter + 1) / 8 * DAY - 1,
                budget: budget + dice.between(0, 200) * 1_000,
                variant: None,
                click_rate: 0,
            });
        }
    }
    campaigns.sort_by(|one, other| (one.starts_at, &one.id).cmp(&(other.starts_at, &other.id)));
    campaigns
}

fn to_i64(number: usize) -> i64 {
    i64::try_from(number).expect("a list shorter than i64")
}
