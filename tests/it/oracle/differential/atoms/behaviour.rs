//! Atoms that call behaviour functions.

use super::{Atom, Draw, Rows, Where, call, quoted};
use crate::oracle::differential::facts;
use crate::oracle::differential::when::{When, moment};

/// Forms of atoms, each about as frequent as the others.
pub(super) const FORMS: &[fn(&mut Draw<'_>) -> Atom] = &[
    did,
    did,
    times,
    compared_times,
    first_time,
    last_time,
    never,
    spent,
    spent,
    compared_spent,
    ordered,
    bought,
    bought,
    sequence,
    sequence,
    has_deal,
    has_ticket,
    has_object,
];

/// Persons with so many: a call with `at_least` and `at_most`, and the condition on `a.v`.
fn between(draw: &mut Draw<'_>, arguments: &mut Vec<String>) -> String {
    let least = draw.below(3) + 1;
    match draw.below(5) {
        0..2 => "coalesce(a.v, 0) >= 1".to_owned(),
        2 => {
            arguments.push(format!("at_least => {least}"));
            format!("coalesce(a.v, 0) >= {least}")
        }
        3 => {
            arguments.extend(["at_least => 0".to_owned(), format!("at_most => {least}")]);
            format!("coalesce(a.v, 0) <= {least}")
        }
        _ => {
            arguments.push(format!("at_most => {least}"));
            format!("coalesce(a.v, 0) between 1 and {least}")
        }
    }
}

pub(super) fn counted(draw: &mut Draw<'_>, function: &str, first: &[String], rows: Rows) -> Atom {
    let joined = vec![rows.each("count(*)")];
    let mut arguments = rows.arguments;
    let met = between(draw, &mut arguments);
    Atom::new(call(function, first, &arguments), joined, met)
}

fn did(draw: &mut Draw<'_>) -> Atom {
    let (kind, rows) = draw.typed();
    counted(draw, "did", &[kind], rows)
}

fn ordered(draw: &mut Draw<'_>) -> Atom {
    let (when, filter) = (draw.when(), draw.filter("order_placed"));
    let rows = Rows::new(&facts::of_type("order_placed"), &when, filter);
    counted(draw, "ordered", &[], rows)
}

fn times(draw: &mut Draw<'_>) -> Atom {
    let (kind, rows) = draw.typed();
    let number = draw.below(4);
    let compared = match draw.below(4) {
        0 => format!("< {number}"),
        1 => format!(">= {number}"),
        2 => format!("= {number}"),
        _ => format!("between {number} and {}", number + 2),
    };
    let criteria = format!("{} {compared}", call("times", &[kind], &rows.arguments));
    let joined = vec![rows.each("count(*)")];
    Atom::new(criteria, joined, format!("coalesce(a.v, 0) {compared}"))
}

fn compared_times(draw: &mut Draw<'_>) -> Atom {
    let ((one, of_one), (other, of_other)) = (draw.typed(), draw.typed());
    let criteria = format!(
        "{} > {}",
        call("times", &[one], &of_one.arguments),
        call("times", &[other], &of_other.arguments)
    );
    let joined = vec![of_one.each("count(*)"), of_other.each("count(*)")];
    Atom::new(criteria, joined, "coalesce(a.v, 0) > coalesce(b.v, 0)")
}

/// A threshold of a time, in criteria and in SQL.
fn bound(draw: &mut Draw<'_>) -> (String, String) {
    match draw.below(2) {
        0 => {
            let day = draw.of(draw.values.days);
            (quoted(day), moment(day))
        }
        _ => {
            let interval = draw.interval();
            let before = |now: &str| format!("{now} - interval '{interval}'");
            (before("now()"), before("{now}"))
        }
    }
}

fn first_time(draw: &mut Draw<'_>) -> Atom {
    let ((kind, rows), (text, sql)) = (draw.typed(), bound(draw));
    let compared = draw.of(&[">=", "<"]);
    let called = call("first_time", &[kind], &rows.arguments);
    let joined = vec![rows.each("min(happened)")];
    Atom::new(
        format!("{called} {compared} {text}"),
        joined,
        format!("a.v {compared} {sql}"),
    )
}

fn last_time(draw: &mut Draw<'_>) -> Atom {
    let ((kind, rows), (text, sql)) = (draw.typed(), bound(draw));
    let called = call("last_time", &[kind], &rows.arguments);
    let joined = vec![rows.each("max(happened)")];
    match draw.below(3) {
        0 => Atom::new(format!("{called} < {text}"), joined, format!("a.v < {sql}")),
        1 => {
            let (criteria, met) = (
                format!("{called} not between {text} and now()"),
                format!("a.v not between {sql} and {{now}}"),
            );
            Atom::new(criteria, joined, met)
        }
        _ => {
            let (criteria, met) = (
                format!("({called} >= {text}) is not true"),
                format!("(a.v >= {sql}) is not true"),
            );
            Atom::new(criteria, joined, met)
        }
    }
}

fn never(draw: &mut Draw<'_>) -> Atom {
    let (kind, rows) = draw.typed();
    let is = draw.of(&["is null", "is not null"]);
    let criteria = format!("{} {is}", call("last_time", &[kind], &rows.arguments));
    Atom::new(
        criteria,
        vec![rows.each("max(happened)")],
        format!("a.v {is}"),
    )
}

fn spent_rows(draw: &mut Draw<'_>) -> Rows {
    let when = draw.when();
    let filter = (draw.below(3) == 0).then(|| draw.of_orders());
    Rows::new(&facts::spent(draw.values), &when, filter)
}

fn spent(draw: &mut Draw<'_>) -> Atom {
    let rows = spent_rows(draw);
    let amount = draw.of(&["0", "50", "120.50", "400"]);
    let compared = draw.of(&[">=", ">", "<", "="]);
    let called = call("spent", &[], &rows.arguments);
    let joined = vec![rows.each("sum(converted)")];
    let met = format!("coalesce(a.v, 0) {compared} {amount}");
    Atom::new(format!("{called} {compared} {amount}"), joined, met)
}

fn compared_spent(draw: &mut Draw<'_>) -> Atom {
    let (one, other) = (spent_rows(draw), spent_rows(draw));
    let [this, that] = [&one, &other].map(|rows| call("spent", &[], &rows.arguments));
    let joined = vec![one.each("sum(converted)"), other.each("sum(converted)")];
    let met = "coalesce(a.v, 0) > coalesce(b.v, 0)";
    Atom::new(format!("{this} > {that}"), joined, met)
}

fn bought(draw: &mut Draw<'_>) -> Atom {
    let product = draw.of(draw.values.products);
    let category = draw.of(draw.values.categories);
    let (first, named, condition) = match draw.below(5) {
        0 => (
            vec![quoted(category)],
            None,
            format!("category = '{category}'"),
        ),
        1 => {
            let any = format!("sku = '{product}' or product_id = '{product}'");
            (vec![quoted(product)], None, any)
        }
        2 => (
            Vec::new(),
            Some(("sku", product)),
            format!("sku = '{product}'"),
        ),
        3 => {
            let of_product = format!("product_id = '{product}'");
            (Vec::new(), Some(("product", product)), of_product)
        }
        _ => {
            let of_category = format!("category = '{category}'");
            (Vec::new(), Some(("category", category)), of_category)
        }
    };
    let filter = match draw.below(4) {
        0 => Some(Where::same("quantity >= 2 or unit_price > 40")),
        1 => Some(Where::same("currency is distinct from 'EUR'")),
        _ => None,
    };
    let when = draw.when();
    let fact = format!("select * from ({}) where {condition}", facts::bought());
    let mut rows = Rows::new(&fact, &when, filter);
    if let Some((name, value)) = named {
        rows.arguments.push(format!("{name} => '{value}'"));
    }
    counted(draw, "bought", &first, rows)
}

fn sequence(draw: &mut Draw<'_>) -> Atom {
    let (one, other) = (draw.kind(), draw.kind());
    let mut arguments = Vec::new();
    let mut in_time = String::new();
    if draw.below(3) > 0 {
        let interval = draw.interval();
        arguments.push(format!("within => interval '{interval}'"));
        in_time = format!(" and y.happened <= x.happened + interval '{interval}'");
    }
    let when = match draw.below(3) {
        0 => When::dates(draw.dice, draw.values),
        _ => When::Ever,
    };
    arguments.extend(when.arguments());
    let [x, y] = [one, other].map(|kind| {
        let (rows, when) = (facts::of_type(kind), when.sql());
        format!("select person_id, happened from ({rows}) where {when}")
    });
    let joined = format!(
        "select distinct x.person_id from ({x}) x join ({y}) y on x.person_id = y.person_id where \
         x.happened < y.happened{in_time}"
    );
    let criteria = call("sequence", &[quoted(one), quoted(other)], &arguments);
    Atom::new(criteria, vec![joined], "a.person_id is not null")
}

/// A row as stored, with other values in some columns.
fn standing(
    draw: &mut Draw<'_>,
    (function, first): (&str, &[String]),
    (fact, columns): (String, &[(&str, &str)]),
    filter: Option<Where>,
) -> Atom {
    let mut fact = fact;
    let mut named = Vec::new();
    for (column, value) in columns {
        if draw.below(2) == 0 {
            fact = format!("select * from ({fact}) where {column} = '{value}'");
            named.push(format!("{column} => '{value}'"));
        }
    }
    let when = draw.when();
    let mut rows = Rows::new(&fact, &when, filter);
    rows.arguments.extend(named);
    counted(draw, function, first, rows)
}

fn has_deal(draw: &mut Draw<'_>) -> Atom {
    let columns = [
        ("status", draw.of(&["open", "won", "lost"])),
        ("pipeline", "sales"),
        ("stage", draw.of(&["won", "proposal"])),
        ("owner", draw.of(draw.values.owners)),
    ];
    let chosen = draw.below(3) as usize;
    let filter = (draw.below(3) == 0).then(|| draw.of_deals());
    standing(
        draw,
        ("has_deal", &[]),
        (facts::deals(), &columns[..=chosen]),
        filter,
    )
}

fn has_ticket(draw: &mut Draw<'_>) -> Atom {
    let columns = [
        ("status", draw.of(&["open", "solved", "closed"])),
        ("priority", draw.of(&["high", "normal"])),
        ("category", "invoice"),
    ];
    let filter = match draw.below(3) {
        0 => Some(Where::same("satisfaction >= 4 or satisfaction is null")),
        _ => None,
    };
    standing(
        draw,
        ("has_ticket", &[]),
        (facts::tickets(), &columns),
        filter,
    )
}

fn has_object(draw: &mut Draw<'_>) -> Atom {
    let kind = draw.of(&["request", "survey"]);
    let filter = (draw.below(2) == 0).then(|| Where {
        argument: "json_text(properties, 'state') = 'open'".to_owned(),
        sql: "properties like '%\"state\":\"open\"%'".to_owned(),
    });
    let first = [quoted(kind)];
    standing(
        draw,
        ("has_object", &first),
        (facts::objects(kind), &[]),
        filter,
    )
}
