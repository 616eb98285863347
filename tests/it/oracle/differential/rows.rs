//! Random rows of the native provider, beside the other rows of a world.

use std::collections::BTreeMap;

use rand::Rng;
use rollbook_model::Timestamp;

use super::values::one_of;
use super::world::World;

pub(super) const HOUR: i64 = 3_600_000_000;
pub(super) const DAY: i64 = 24 * HOUR;

/// The columns in which rows are written, by table.
const COLUMNS: [(&str, &str); 9] = [
    (
        "activities",
        "person_external_id,type,channel,occurred_at,properties",
    ),
    (
        "deals",
        "person_external_id,pipeline,stage,status,owner,value,currency,created_at,closed_at",
    ),
    ("fx_rates", "day,currency,rate"),
    (
        "objects",
        "person_external_id,object_type,properties,created_at",
    ),
    (
        "order_lines",
        "person_external_id,order_id,product_id,sku,category,quantity,unit_price,currency,placed_at",
    ),
    (
        "orders",
        "person_external_id,status,currency,total,placed_at,paid_at,source_name",
    ),
    (
        "persons",
        "country,region,is_lead,tags,created_at,updated_at",
    ),
    (
        "refunds",
        "person_external_id,order_id,amount,currency,refunded_at",
    ),
    (
        "tickets",
        "person_external_id,status,priority,category,opened_at,closed_at,satisfaction",
    ),
];

/// Rows of several tables that are ingested together; each begins with its external id.
#[derive(Default)]
pub(super) struct Rows(BTreeMap<&'static str, Vec<String>>);

impl Rows {
    pub(super) fn add(&mut self, table: &'static str, row: String) {
        self.0.entry(table).or_default().push(row);
    }
}

impl World {
    /// Ingests rows as one batch.
    pub(super) async fn write(&mut self, rows: Rows) {
        let folder = format!("change-{}", self.written);
        for (table, rows) in rows.0 {
            let (_, columns) = COLUMNS.iter().find(|(name, _)| *name == table).unwrap();
            let text = format!("external_id,{columns}\n{}\n", rows.join("\n"));
            self.lake.write(&format!("{folder}/{table}.csv"), &text);
        }
        let path = self.lake.path(&folder);
        self.take_in("native", path).await;
    }

    /// Rows of all tables of facts, with times between two moments, relative to the moment of evaluation.
    pub(super) fn facts(&mut self, count: u32, from: i64, to: i64) -> Rows {
        let mut rows = Rows::default();
        for _ in 0..count {
            for _ in 0..3 {
                self.activity(&mut rows, from, to);
            }
            let id = self.id("O");
            self.order(&mut rows, &id, from, to);
            let id = self.id("D");
            self.deal(&mut rows, &id, from, to);
            let id = self.id("T");
            self.ticket(&mut rows, &id, from, to);
            self.object(&mut rows, from, to);
        }
        rows
    }

    fn activity(&mut self, rows: &mut Rows, from: i64, to: i64) {
        let (id, person, at) = (self.id("A"), self.person(), self.moment(from, to));
        let kind = self.of(self.values.activities);
        let channel = self.of(self.values.channels);
        let device = self.of(&[
            r#""{""device"":""mobile""}""#,
            r#""{""device"":""desktop""}""#,
            "",
        ]);
        rows.add(
            "activities",
            format!("{id},{person},{kind},{channel},{at},{device}"),
        );
    }

    /// An order, with lines and perhaps a refund.
    pub(super) fn order(&mut self, rows: &mut Rows, id: &str, from: i64, to: i64) {
        let person = self.person();
        let placed = self.random.random_range(from..to);
        let paid = placed + self.random.random_range(0..2 * DAY);
        let [placed, paid] = [placed, paid].map(|at| self.after(at));
        let paid = self.of(&[paid.as_str(), placed.as_str(), ""]).to_owned();
        let status = self.of(&["paid", "fulfilled", "pending", "cancelled", "refunded", ""]);
        let total = self.of(&["250.00", "80.10", "19.99", "120.50", ""]);
        let (currency, source) = (
            self.of(self.values.currencies),
            self.of(&["web", "pos", ""]),
        );
        rows.add(
            "orders",
            format!("{id},{person},{status},{currency},{total},{placed},{paid},{source}"),
        );
        for line in 1..=self.random.random_range(0..3) {
            let product = self.of(self.values.products);
            let (sku, category) = (
                self.of(&[product, "SKU-1", ""]),
                self.of(self.values.categories),
            );
            let (quantity, price) = (self.of(&["1", "2"]), self.of(&["9.90", "45.00", ""]));
            // Some name no person: theirs is that of the order.
            let person = self.of(&[person.as_str(), ""]).to_owned();
            rows.add(
                "order_lines",
                format!(
                    "{id}/{line},{person},{id},{product},{sku},{category},{quantity},{price},\
                     {currency},{placed}"
                ),
            );
        }
        if self.random.random_range(0..3) == 0 {
            self.refund(rows, id, from, to + 5 * DAY);
        }
    }

    /// A refund of an order that names no person.
    pub(super) fn refund(&mut self, rows: &mut Rows, order: &str, from: i64, to: i64) {
        self.refund_of(rows, order, "", from, to);
    }

    /// A refund of an order that names a person.
    pub(super) fn refund_of(
        &mut self,
        rows: &mut Rows,
        order: &str,
        person: &str,
        from: i64,
        to: i64,
    ) {
        let (id, at) = (self.id("R"), self.moment(from, to));
        let amount = self.of(&["10.00", "400.00", "75.25"]);
        let currency = self.of(self.values.currencies);
        rows.add(
            "refunds",
            format!("{id},{person},{order},{amount},{currency},{at}"),
        );
    }

    /// Deletes a row.
    pub(super) async fn retired(&mut self, table: &str, id: &str) {
        let folder = format!("change-{}", self.written);
        let required = match table {
            "orders" => [",placed_at", ",2025-01-01"],
            "order_lines" => [",order_id,placed_at", ",none,2025-01-01"],
            _ => [",order_id,amount,refunded_at", ",none,0,2025-01-01"],
        };
        let [columns, values] = required;
        let text = format!("external_id{columns},_deleted\n{id}{values},true\n");
        self.lake.write(&format!("{folder}/{table}.csv"), &text);
        let path = self.lake.path(&folder);
        self.take_in("native", path).await;
    }

    /// A deal, which is perhaps closed only later.
    pub(super) fn deal(&mut self, rows: &mut Rows, id: &str, from: i64, to: i64) {
        let (person, begun) = (self.person(), self.random.random_range(from..to));
        let closed = begun + self.random.random_range(0..20 * DAY);
        let [begun, closed] = [begun, closed].map(|at| self.after(at));
        let (status, closed) = match self.of(&["open", "won", "lost"]) {
            "open" => ("open", ""),
            status => (status, self.of(&[closed.as_str(), closed.as_str(), ""])),
        };
        let (closed, stage) = (closed.to_owned(), self.of(&["won", "proposal", ""]));
        let (pipeline, owner) = (
            self.of(&["sales", "renewals", ""]),
            self.of(self.values.owners),
        );
        let value = self.of(&["1500.00", "3000.00", "8000.00", ""]);
        let currency = self.of(self.values.currencies);
        rows.add(
            "deals",
            format!(
                "{id},{person},{pipeline},{stage},{status},{owner},{value},{currency},{begun},\
                 {closed}"
            ),
        );
    }

    /// A ticket, which is perhaps closed only later.
    pub(super) fn ticket(&mut self, rows: &mut Rows, id: &str, from: i64, to: i64) {
        let (person, opened) = (self.person(), self.random.random_range(from..to));
        let closed = opened + self.random.random_range(0..9 * DAY);
        let [opened, closed] = [opened, closed].map(|at| self.after(at));
        let closed = self.of(&[closed.as_str(), ""]).to_owned();
        let status = self.of(&["open", "solved", "closed", "pending", ""]);
        let (priority, category) = (
            self.of(&["high", "normal", ""]),
            self.of(&["invoice", "", ""]),
        );
        let rating = self.of(&["2", "4", "5", ""]);
        rows.add(
            "tickets",
            format!("{id},{person},{status},{priority},{category},{opened},{closed},{rating}"),
        );
    }

    fn object(&mut self, rows: &mut Rows, from: i64, to: i64) {
        let (id, person, at) = (self.id("B"), self.person(), self.moment(from, to));
        let kind = self.of(&["request", "survey"]);
        let state = self.of(&[r#""{""state"":""open""}""#, r#""{""state"":""done""}""#, ""]);
        rows.add("objects", format!("{id},{person},{kind},{state},{at}"));
    }

    /// An update of a person by a source.
    pub(super) fn says(&mut self, rows: &mut Rows, person: &str) {
        let (_, places) = self.values.place;
        let (country, region) = (self.of(&["DE", "FR", "IT", ""]), self.of(places));
        let region = self.of(&[region, ""]);
        let is_lead = self.of(&["true", "false", ""]);
        let tags = self.of(&["newsletter", r#""newsletter,vip""#, ""]);
        let (created, updated) = (self.moment(-90 * DAY, DAY), self.moment(-DAY, DAY));
        rows.add(
            "persons",
            format!("{person},{country},{region},{is_lead},{tags},{created},{updated}"),
        );
    }

    /// An exchange rate on a day.
    pub(super) fn rate(&mut self, rows: &mut Rows) {
        let day = self.moment(-40 * DAY, 2 * DAY);
        let currency = self.of(&["JPY", "USD", "GBP"]);
        let rate = self.of(&["0.0062", "0.9150", "5.3120"]);
        let day = &day[..10];
        rows.add(
            "fx_rates",
            format!("{day}/{currency},{day},{currency},{rate}"),
        );
    }

    pub(super) fn id(&mut self, of: &str) -> String {
        self.ids += 1;
        format!("N{of}{}", self.ids)
    }

    /// One of the persons with native rows.
    pub(super) fn person(&mut self) -> String {
        format!("P{}", self.random.random_range(1..=self.persons))
    }

    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        one_of(&mut self.random, all)
    }

    /// A moment between two, relative to the moment of evaluation; sometimes the beginning or the end of its
    /// month instead.
    pub(super) fn moment(&mut self, from: i64, to: i64) -> String {
        let after = self.random.random_range(from..to);
        let moment = self.after(after);
        let (month, is_short) = (&moment[..7], &moment[5..7] == "02");
        match self.random.random_range(0..24) {
            0 => format!("{month}-01T00:00:00Z"),
            1 => format!("{month}-28T23:59:59Z"),
            2 if !is_short => format!("{month}-30T12:00:00Z"),
            _ => moment,
        }
    }

    fn after(&self, micros: i64) -> String {
        let at = (self.as_of.micros() + micros) / 1_000_000 * 1_000_000;
        Timestamp::from_micros(at).to_string()
    }
}
