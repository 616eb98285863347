//! Rows of the raw tables as visible at `{now}`, each with a time `at`: later events are not visible.

use super::values::Values;

/// Types of behaviour that are derived from other tables than `activities`.
pub(super) const RESERVED: [&str; 6] = [
    "order_placed",
    "order_paid",
    "order_refunded",
    "deal_created",
    "deal_won",
    "deal_lost",
];

const REVENUE: &str = "status in ('paid', 'partially_paid', 'fulfilled', 'completed', \
                       'partially_refunded', 'refunded')";

/// Orders, with the time at which they count as revenue, if they do.
fn orders() -> String {
    format!(
        "select *, placed_at as happened, case when {REVENUE} then coalesce(paid_at, placed_at) end as \
         counts_at from orders where placed_at <= {{now}}"
    )
}

/// Rows of a type of behaviour.
pub(super) fn of_type(kind: &str) -> String {
    match kind {
        "order_placed" => orders(),
        "order_paid" => format!(
            "select * exclude (happened), counts_at as happened from ({}) where counts_at <= {{now}}",
            orders()
        ),
        "order_refunded" => format!(
            "select r.* exclude (person_id), o.person_id, r.refunded_at as happened from refunds r join \
             ({}) o on o.provider = r.provider and o.external_id = r.order_id where r.refunded_at \
             <= {{now}} union all {}",
            orders(),
            lost("refunds", "refunded_at")
        ),
        "deal_created" => deals(),
        "deal_won" | "deal_lost" => {
            let status = kind.trim_start_matches("deal_");
            format!(
                "select *, coalesce(closed_at, created_at) as happened from deals where status = \
                 '{status}' and created_at <= {{now}} and coalesce(closed_at, created_at) <= {{now}}"
            )
        }
        _ => format!(
            "select *, occurred_at as happened from activities where type = '{kind}' and occurred_at <= \
             {{now}}"
        ),
    }
}

/// Deals in their current state: one that is closed later is open.
pub(super) fn deals() -> String {
    "select * exclude (status), case when closed_at > {now} then 'open' else status end as status, \
     created_at as happened from deals where created_at <= {now}"
        .to_owned()
}

pub(super) fn tickets() -> String {
    "select *, opened_at as happened from tickets where opened_at <= {now}".to_owned()
}

pub(super) fn objects(kind: &str) -> String {
    format!(
        "select *, created_at as happened from objects where object_type = '{kind}' and created_at <= \
         {{now}}"
    )
}

/// Lines of orders that count as revenue, from the time at which these count.
pub(super) fn bought() -> String {
    format!(
        "select l.* exclude (person_id), o.person_id, o.counts_at as happened from order_lines l join \
         ({}) o on o.provider = l.provider and o.external_id = l.order_id where o.counts_at <= \
         {{now}} and l.placed_at <= {{now}} union all {}",
        orders(),
        lost("order_lines", "placed_at")
    )
}

/// Rows of orders that are not in the lake, with their own person.
fn lost(table: &str, time: &str) -> String {
    format!(
        "select t.* exclude (person_id), t.person_id, t.{time} as happened from {table} t left join \
         orders o on o.provider = t.provider and o.external_id = t.order_id where \
         o.external_id is null and t.{time} <= {{now}}"
    )
}

/// Amounts of orders that count as revenue and of refunds, with `converted` in the tenant's currency;
/// `is_order` distinguishes the two, and the other columns are of the order.
pub(super) fn spent(values: &Values) -> String {
    let paid = of_type("order_paid");
    let amounts = format!(
        "select *, true as is_order, total as amount, currency as paid_in from ({paid}) union all \
         select o.* exclude (happened), r.refunded_at as happened, false as is_order, -r.amount as amount, \
         coalesce(r.currency, o.currency) as paid_in from ({paid}) o join refunds r on r.provider \
         = o.provider and r.order_id = o.external_id where r.refunded_at <= {{now}} union all \
         select n.* exclude (happened) replace (l.person_id as person_id, l.provider as provider, \
         l.order_id as external_id), l.happened, false as is_order, -l.amount as amount, l.currency as \
         paid_in from ({}) l left join (select * from ({paid}) where false) n on n.provider = \
         l.provider",
        lost("refunds", "refunded_at")
    );
    let converted = converted("m.amount", "m.paid_in", "cast(m.happened as date)", values);
    format!("select m.*, {converted} as converted from ({amounts}) m")
}

/// An amount in the tenant's currency: a day without a rate uses the last rate within a week.
fn converted(amount: &str, currency: &str, day: &str, values: &Values) -> String {
    let rate = format!(
        "select cast(arg_max(f.rate, (f.day, f.rate)) as decimal(18, 10)) from fx_rates f where \
         f.currency = {currency} and f.day between {day} - 7 and {day}"
    );
    format!(
        "case when {currency} is null or {currency} = '{}' then {amount} else cast({amount} * \
         ({rate}) as decimal(19, 4)) end",
        values.currency
    )
}

/// Deals that are open or won at `{now}`, with their values in the tenant's currency.
pub(super) fn worth(values: &Values) -> String {
    let standing = "select *, status = 'open' or coalesce(closed_at > {now}, false) as is_open, \
                    status = 'won' and coalesce(closed_at, created_at) <= {now} as is_won, \
                    cast(case when status = 'won' and closed_at <= {now} then closed_at else \
                    created_at end as date) as day from deals where created_at <= {now}";
    let converted = converted("d.value", "d.currency", "d.day", values);
    format!("select d.*, {converted} as converted from ({standing}) d where d.is_open or d.is_won")
}
