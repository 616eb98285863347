//! Random changes of the data, settings and segments of a world.

use rand::Rng;
use rand::seq::IndexedRandom;
use rollbook_app::identity::{Decider, DecisionRequest, decide, erase};
use rollbook_app::ingest::undo;
use rollbook_app::maintenance::{Extent, compact_lake};
use rollbook_app::segments;
use rollbook_model::Timestamp;
use rollbook_model::config::Limits;
use tokio::sync::Mutex;

use super::rows::{DAY, HOUR, Rows};
use super::world::World;
use super::{definitions, key, when};

/// A kind of change.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Merge,
    NewFacts,
    Hours,
    HalfRefresh,
    Unmerge,
    NextSlice,
    Erase,
    Edit,
    LateFacts,
    Days,
    ChangedFacts,
    Undo,
    Persons,
    Refund,
    Lost,
    Gone,
    Back,
    Compact,
    Rate,
    Month,
    Rewrite,
    Delete,
    CompactDelete,
    Edge,
    MonthEnd,
    MakeAnew,
    Split,
}

/// Tables of facts with their required columns. Refunds name no person: they count for that of their order.
const FACTS: [(&str, &str); 5] = [
    ("refunds", "order_id,amount,currency,refunded_at"),
    ("order_lines", "order_id,placed_at"),
    ("activities", "type,occurred_at"),
    ("orders", "status,currency,total,placed_at"),
    ("deals", "status,created_at"),
];

/// All kinds. Rows with future times come before the hours in which these pass.
const ALL: [Change; 27] = [
    Change::CompactDelete,
    Change::NewFacts,
    Change::Edge,
    Change::MakeAnew,
    Change::Merge,
    Change::Hours,
    Change::HalfRefresh,
    Change::Unmerge,
    Change::NextSlice,
    Change::Erase,
    Change::Edit,
    Change::LateFacts,
    Change::Days,
    Change::ChangedFacts,
    Change::Undo,
    Change::Persons,
    Change::Refund,
    Change::Lost,
    Change::Gone,
    Change::Back,
    Change::Compact,
    Change::Rate,
    Change::Month,
    Change::Rewrite,
    Change::Delete,
    Change::MonthEnd,
    Change::Split,
];

impl World {
    /// The kind of a round's change: each kind once, from the world's own on, then at random.
    pub(super) fn next_change(&mut self, round: usize) -> Change {
        let first = if self.held_back.is_some() { 8 } else { 0 };
        match round < ALL.len() {
            true => ALL[(first + round) % ALL.len()],
            false => self.of(&ALL),
        }
    }

    pub(super) async fn change(&mut self, change: Change) {
        match change {
            Change::NewFacts => self.happen(3, -HOUR, 2 * HOUR).await,
            Change::LateFacts => self.happen(3, -300 * DAY, 0).await,
            // All that is generated is there from the beginning.
            Change::NextSlice => {
                if !self.next_slice().await {
                    self.happen(6, -DAY, DAY).await;
                }
            }
            Change::ChangedFacts => self.change_facts().await,
            Change::Refund => self.give_back().await,
            Change::Lost => self.lose().await,
            Change::Gone => self.retire().await,
            Change::Persons => self.hear_of_persons().await,
            Change::Rate => {
                let mut rows = Rows::default();
                self.rate(&mut rows);
                self.write(rows).await;
            }
            Change::Hours => self.pass(1, 3 * HOUR),
            Change::Days => self.pass(DAY, 9 * DAY),
            Change::Month => self.pass(31 * DAY, 31 * DAY + 1),
            Change::Back => self.pass(-3 * DAY, -HOUR),
            Change::Edit => {
                let at = self.random.random_range(0..self.definitions.len());
                self.definitions.edit(&mut self.random, at);
                self.put(at).await;
            }
            Change::Rewrite => {
                // One that others name cannot be deleted.
                let at = self
                    .random
                    .random_range(self.definitions.first_free()..self.definitions.len());
                let now = self.tick();
                segments::delete(&self.workspace, &key(at), now)
                    .await
                    .unwrap();
                self.put(at).await;
            }
            Change::HalfRefresh => {
                // The others are computed from older data than these.
                self.happen(1, -DAY, DAY).await;
                let some: Vec<_> = (0..self.definitions.len()).step_by(2).map(key).collect();
                let now = self.tick();
                let done = segments::refresh(&self.workspace, &some, self.as_of, now, false).await;
                done.unwrap();
                self.happen(1, -DAY, DAY).await;
            }
            Change::Undo => {
                if self.last_batch.is_none() {
                    self.happen(3, -DAY, HOUR).await;
                    self.refresh(true, false).await;
                }
                let (batch, now) = (self.last_batch.take().unwrap(), self.tick());
                undo(&self.workspace, &batch, now).await.unwrap();
            }
            Change::Merge => self.merge().await,
            Change::Unmerge => {
                if self.decided.is_none() {
                    self.merge().await;
                    self.refresh(true, false).await;
                }
                let entry = self.decided.take().unwrap();
                self.decide(DecisionRequest::Undo(entry)).await;
            }
            Change::Erase => {
                let person = self.some_persons("last_activity_at is not null", 1).await[0];
                let decider = self.decider();
                erase(&self.workspace, person, &decider).await.unwrap();
                // A merge that named one of their records cannot be taken back any more.
                self.decided = None;
            }
            Change::Delete => self.delete_facts(&FACTS, 3).await,
            // Rows that were there go from a file that only compaction wrote. Of one table alone:
            // whoever has rows in a file that is written anew is evaluated, and with rows of all
            // tables that would be more persons than are patched.
            Change::CompactDelete => {
                self.give_back().await;
                self.compact().await;
                self.delete_facts(&FACTS[..1], 20).await;
            }
            Change::Edge => self.pass_to_an_edge(),
            Change::MonthEnd => self.pass_to_the_end_of_a_month(),
            Change::MakeAnew => {
                let named = self.definitions.first_free().max(1);
                let at = self.random.random_range(0..named);
                let now = self.tick();
                segments::delete(&self.workspace, &key(at), now)
                    .await
                    .unwrap();
                self.definitions.edit(&mut self.random, at);
                self.put(at).await;
            }
            Change::Split => {
                if self.decided.is_none() {
                    self.merge().await;
                    self.refresh(true, false).await;
                }
                let records = self.lake.sql(
                    "select max(identity_id) as one from identities where person_id <> 0 group by \
                     person_id having count(*) > 1 order by 1",
                );
                let record = records.choose(&mut self.random).unwrap()["one"].clone();
                self.decide(DecisionRequest::Split(record.as_i64().unwrap()))
                    .await;
                // A merge of what has been parted since cannot be taken back.
                self.decided = None;
            }
            Change::Compact => self.compact().await,
        }
    }

    async fn compact(&mut self) {
        let (lake, now, turn) = (self.open().await, self.tick(), Mutex::new(()));
        let done = compact_lake(&lake, Limits::default(), Extent::All, now, &turn).await;
        done.unwrap();
    }

    /// Deletes some rows of each of these tables.
    async fn delete_facts(&mut self, tables: &[(&str, &str)], count: usize) {
        let folder = format!("deleted-{}", self.written);
        for (table, columns) in tables {
            let rows = self.lake.sql(&format!(
                "select external_id,{columns} from {table} where provider = 'native' order by \
                 external_id"
            ));
            let mut text = format!("external_id,{columns},_deleted\n");
            for row in rows.choose_multiple(&mut self.random, count) {
                let columns = format!("external_id,{columns}");
                for column in columns.split(',') {
                    text += row[column].as_str().unwrap_or_default();
                    text += ",";
                }
                text += "true\n";
            }
            self.lake.write(&format!("{folder}/{table}.csv"), &text);
        }
        let path = self.lake.path(&folder);
        self.take_in("native", path).await;
    }

    /// Moves to the moment at which something passes the end of a window.
    fn pass_to_an_edge(&mut self) {
        let interval = when::interval(&mut self.random);
        let query = format!(
            "select strftime((happened + interval '{interval}') at time zone 'UTC', \
             '%Y-%m-%dT%H:%M:%S.%fZ') from (select placed_at as happened from orders union all select \
             occurred_at from activities union all select created_at from persons) where happened + \
             interval '{interval}' between {{now}} and {{now}} + interval '30 days' order by hash(happened), \
             happened limit 20"
        );
        let query = definitions::written_now(&query, self.as_of);
        let edges = self.oracle.texts(&query);
        if let Some(edge) = edges.choose(&mut self.random) {
            let edge: Timestamp = edge.parse().unwrap();
            let beside = self.random.random_range(-1..=1);
            self.as_of = Timestamp::from_micros(edge.micros() + beside);
        }
    }

    /// Moves to the last or first moment of a month in the tenant's time zone.
    fn pass_to_the_end_of_a_month(&mut self) {
        let query = "select strftime((date_trunc('month', {now}) + interval '1 month') at time zone \
                     'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')";
        let query = definitions::written_now(query, self.as_of);
        let end: Timestamp = self.oracle.texts(&query)[0].parse().unwrap();
        let beside = self.random.random_range(-1..=1);
        self.as_of = Timestamp::from_micros(end.micros() + beside);
    }

    /// Adds rows of events between two moments.
    async fn happen(&mut self, count: u32, from: i64, to: i64) {
        let rows = self.facts(count, from, to);
        self.write(rows).await;
    }

    fn pass(&mut self, from: i64, to: i64) {
        let step = self.random.random_range(from..to);
        self.as_of = Timestamp::from_micros(self.as_of.micros() + step);
    }

    /// Updates existing rows with other values, times and persons.
    async fn change_facts(&mut self) {
        let mut rows = Rows::default();
        for (table, letter) in [("orders", 'O'), ("deals", 'D'), ("tickets", 'T')] {
            let sql = format!(
                "select external_id from {table} where provider = 'native' and external_id like \
                 'N{letter}%' order by external_id"
            );
            let known = self.lake.sql(&sql);
            for id in known.choose_multiple(&mut self.random, 2) {
                let id = id["external_id"].as_str().unwrap();
                match table {
                    "orders" => self.order(&mut rows, id, -60 * DAY, DAY),
                    "deals" => self.deal(&mut rows, id, -60 * DAY, DAY),
                    _ => self.ticket(&mut rows, id, -60 * DAY, DAY),
                }
            }
        }
        self.write(rows).await;
    }

    /// Adds refunds of orders. A provider's refunds are of its own orders: those of Olist have none.
    async fn give_back(&mut self) {
        let orders = self.lake.sql(
            "select external_id from orders where provider = 'native' and person_id <> 0 order by \
             external_id",
        );
        let mut rows = Rows::default();
        for order in orders.choose_multiple(&mut self.random, 3) {
            let order = order["external_id"].as_str().unwrap();
            self.refund(&mut rows, order, -DAY, HOUR);
        }
        self.write(rows).await;
    }

    /// Adds refunds of unknown orders; an order missing earlier arrives.
    async fn lose(&mut self) {
        let mut rows = Rows::default();
        if let Some(order) = self.lost.pop() {
            self.order(&mut rows, &order, -40 * DAY, DAY);
        }
        for _ in 0..2 {
            let (order, person) = (self.id("O"), self.person());
            self.refund_of(&mut rows, &order, &person, -DAY, DAY);
            self.lost.push(order);
        }
        self.write(rows).await;
    }

    /// Deletes rows, after they were rewritten with others or not.
    async fn retire(&mut self) {
        if self.random.random_range(0..2) == 0 {
            Box::pin(self.change(Change::Compact)).await;
        }
        for table in ["order_lines", "orders", "refunds"] {
            let sql = format!(
                "select external_id from {table} where provider = 'native' and external_id like \
                 'N%' order by external_id"
            );
            let known = self.lake.sql(&sql);
            let gone = known.choose(&mut self.random);
            let gone = gone.map(|row| row["external_id"].as_str().unwrap().to_owned());
            if let Some(id) = gone {
                self.retired(table, &id).await;
            }
        }
    }

    /// Updates some persons, and adds a new one.
    async fn hear_of_persons(&mut self) {
        let mut rows = Rows::default();
        for _ in 0..4 {
            let person = self.person();
            self.says(&mut rows, &person);
        }
        let new = self.id("P");
        self.says(&mut rows, &new);
        self.write(rows).await;
    }

    async fn merge(&mut self) {
        let two = self.some_persons("order_count > 0", 2).await;
        self.decided = Some(self.decide(DecisionRequest::Merge(two[0], two[1])).await);
    }

    async fn decide(&mut self, wanted: DecisionRequest) -> String {
        let decider = self.decider();
        let followed = decide(&self.workspace, &wanted, &decider).await.unwrap();
        assert!(!followed.moved.is_empty(), "{wanted:?}");
        followed.entry
    }

    fn decider(&mut self) -> Decider {
        Decider {
            by: "kim".to_owned(),
            at: self.tick(),
            dry_run: false,
        }
    }

    pub(super) async fn some_persons(&mut self, condition: &str, count: usize) -> Vec<i64> {
        let sql = format!("select person_id from people where {condition} order by person_id");
        let persons = self.lake.sql(&sql);
        let chosen = persons.choose_multiple(&mut self.random, count);
        chosen
            .map(|row| row["person_id"].as_i64().unwrap())
            .collect()
    }
}
