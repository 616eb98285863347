//! Atomic conditions, each as criteria and as plain SQL for the oracle.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::bounds::Bounds;
use super::facts;
use super::values::{Values, one_of};
use super::when::{When, interval};

mod behaviour;
mod bounds;
mod people;

/// A condition as criteria, and as plain SQL for the persons for whom it is true or unknown.
pub(super) struct Atom {
    pub(super) criteria: String,
    /// Relations with `person_id` that are joined to `persons p`, the first as `a`, then `b`.
    joined: Vec<String>,
    /// The condition on these.
    met: String,
}

impl Atom {
    fn new(criteria: impl Into<String>, joined: Vec<String>, met: impl Into<String>) -> Self {
        Self {
            criteria: criteria.into(),
            joined,
            met: met.into(),
        }
    }

    /// The precedence of its outermost operator, as that of a condition.
    pub(super) fn tightness(&self) -> u8 {
        let outside = outside_of_parentheses(&self.criteria);
        let ands = outside.matches(" and ").count() - outside.matches("between ").count();
        match () {
            () if outside.contains(" or ") => 0,
            () if ands > 0 => 1,
            () if outside.starts_with("not ") => 2,
            () => 3,
        }
    }

    /// A query for `person_id` and `is_met` of all persons for whom it is not false.
    pub(super) fn rows(&self) -> String {
        let met = &self.met;
        // When somebody came to be is unknown while it lies ahead.
        let mut rows = format!(
            "select p.person_id, ({met}) as is_met from (select * replace (case when created_at <= \
             {{now}} then created_at end as created_at) from persons) p"
        );
        for (name, relation) in ["a", "b"].iter().zip(&self.joined) {
            rows += &format!(" left join ({relation}) {name} on {name}.person_id = p.person_id");
        }
        format!("{rows} where ({met}) is not false")
    }
}

/// Atoms that are drawn at random.
struct Draw<'a> {
    dice: &'a mut ChaCha8Rng,
    values: &'a Values,
    bounds: &'a Bounds,
}

/// A condition on the columns of a fact: in a call, and in plain SQL.
struct Where {
    argument: String,
    sql: String,
}

impl Where {
    fn same(text: impl Into<String>) -> Self {
        let sql = text.into();
        let argument = sql.clone();
        Self { argument, sql }
    }
}

/// The rows of a fact that a call is about.
struct Rows {
    /// The arguments that select them.
    arguments: Vec<String>,
    /// The rows in SQL.
    sql: String,
}

impl Rows {
    fn new(fact: &str, when: &When, filter: Option<Where>) -> Self {
        let mut arguments = when.arguments();
        let mut sql = format!("select * from ({fact}) where {}", when.sql());
        if let Some(Where {
            argument,
            sql: condition,
        }) = filter
        {
            arguments.push(format!("where => '{}'", argument.replace('\'', "''")));
            // The clock of the criteria is the moment that is written in.
            sql += &format!(" and ({})", condition.replace("now()", "{now}"));
        }
        Self { arguments, sql }
    }

    /// The value of each person's rows, as `v`.
    fn each(&self, aggregate: &str) -> String {
        let sql = &self.sql;
        format!("select person_id, {aggregate} as v from ({sql}) group by person_id")
    }
}

/// The part of a text outside parentheses and quotes.
fn outside_of_parentheses(text: &str) -> String {
    let (mut depth, mut is_quoted) = (0, false);
    let mut outside = String::new();
    for letter in text.chars() {
        match letter {
            '\'' => is_quoted = !is_quoted,
            '(' if !is_quoted => depth += 1,
            ')' if !is_quoted => depth -= 1,
            _ if depth == 0 && !is_quoted => outside.push(letter),
            _ => {}
        }
    }
    outside
}

fn call(function: &str, first: &[String], more: &[String]) -> String {
    let all: Vec<_> = first.iter().chain(more).map(String::as_str).collect();
    format!("{function}({})", all.join(", "))
}

fn quoted(text: &str) -> String {
    format!("'{text}'")
}

impl Draw<'_> {
    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        one_of(self.dice, all)
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.dice.random_range(0..bound)
    }

    fn interval(&mut self) -> &'static str {
        interval(self.dice)
    }

    fn when(&mut self) -> When {
        When::random(self.dice, self.values)
    }

    /// A type of behaviour: one of activities as often as one of other tables.
    fn kind(&mut self) -> &'static str {
        match self.below(2) {
            0 => self.of(self.values.activities),
            _ => self.of(&facts::RESERVED),
        }
    }

    /// A condition on the rows of a type, for one in three calls.
    fn filter(&mut self, kind: &str) -> Option<Where> {
        if self.below(3) > 0 {
            return None;
        }
        Some(match kind {
            "order_placed" | "order_paid" => self.of_orders(),
            "order_refunded" => Where::same("amount > 50 or currency is null"),
            "deal_created" | "deal_won" | "deal_lost" => self.of_deals(),
            _ => self.of_activities(),
        })
    }

    fn of_activities(&mut self) -> Where {
        let channel = self.of(&self.values.channels[..3]);
        match self.below(6) {
            0 => Where::same(format!("channel = '{channel}'")),
            1 => Where::same(format!("channel <> '{channel}'")),
            2 => Where::same("channel is null"),
            3 => Where::same("person_id % 2 = 0"),
            4 => Where::same("occurred_at > now() - interval '40 days'"),
            _ => Where {
                argument: "json_text(properties, 'device') = 'mobile'".to_owned(),
                sql: "properties like '%\"device\":\"mobile\"%'".to_owned(),
            },
        }
    }

    fn of_orders(&mut self) -> Where {
        Where::same(match self.below(6) {
            0 => "status = 'cancelled'",
            1 => "source_name = 'web'",
            2 => "total >= 100.50",
            3 => "paid_at > placed_at + interval '1 hour'",
            4 => "currency is null or currency <> 'EUR'",
            _ => "not (total < 150)",
        })
    }

    fn of_deals(&mut self) -> Where {
        let owner = self.of(self.values.owners);
        match self.below(3) {
            0 => Where::same(format!("owner = '{owner}'")),
            1 => Where::same("value >= 3000"),
            _ => Where::same("value is null or status = 'lost'"),
        }
    }

    /// Rows of a type in a window, and the quoted type.
    fn typed(&mut self) -> (String, Rows) {
        let kind = self.kind();
        let (when, filter) = (self.when(), self.filter(kind));
        let rows = Rows::new(&facts::of_type(kind), &when, filter);
        (quoted(kind), rows)
    }
}

/// Atoms of every form in turn; forms that depend on the clock in another way, or have a subquery, only once,
/// since a condition with one of these is never patched.
pub(super) fn atoms(
    dice: &mut ChaCha8Rng,
    values: &Values,
    bounds: &Bounds,
    count: usize,
) -> Vec<Atom> {
    let mut draw = Draw {
        dice,
        values,
        bounds,
    };
    let forms = || {
        let of_people = people::FORMS.iter().chain(bounds::FORMS);
        behaviour::FORMS.iter().chain(of_people)
    };
    let count = count.max(forms().count());
    let drawn = people::ONCE.iter().chain(forms().cycle().take(count));
    drawn.map(|form| form(&mut draw)).collect()
}

/// Queries for persons, each a complete definition.
pub(super) fn selects(dice: &mut ChaCha8Rng, values: &Values, bounds: &Bounds) -> Vec<Atom> {
    people::selects(&mut Draw {
        dice,
        values,
        bounds,
    })
}
