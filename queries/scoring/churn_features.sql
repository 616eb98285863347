-- purpose: features, as known at a moment, of persons who bought in the year before it
-- parameters: $currency text (the tenant's currency, may be null), $as_of time
-- output: person_id bigint, then the features, double each, none of them null
--
-- The view `_purchases` defines a purchase. Its value is in the tenant's currency, as in
-- `average_order_value`; purchases without a rate are left out of it. Persons who are not in `persons` any
-- more are no candidates. Only columns with the time of an event are read, so that events after `$as_of`
-- cannot change a feature.
with bought as (
    select
        purchases.person_id,
        purchases.at,
        case
            when purchases.currency is null or purchases.currency = $currency then purchases.amount
            else try_cast(purchases.amount * rates.rate as decimal(19, 4))
        end as converted
    from _purchases as purchases
    left join _rates as rates
        on rates.day = cast(purchases.at as date) and rates.currency = purchases.currency
    where purchases.at <= $as_of
        and purchases.person_id in (select person_id from persons)
),
buyers as (
    select
        person_id,
        count(*) as times,
        max(at) as last_at,
        min(at) as first_at,
        cast(sum(converted) as double) / nullif(count(converted), 0) as basket
    from bought
    group by person_id
    having max(at) > $as_of - interval '365 days'
),
spans as (
    select
        person_id,
        times,
        coalesce(basket, 0) as basket,
        cast(cast($as_of as bigint) - cast(last_at as bigint) as double) / 86400000000 as recency,
        cast(cast($as_of as bigint) - cast(first_at as bigint) as double) / 86400000000 as tenure,
        cast(cast(last_at as bigint) - cast(first_at as bigint) as double) / 86400000000
            / greatest(times - 1, 1) as interval_days
    from buyers
),
acts as (
    select
        person_id,
        ln(1 + count(*) filter (where occurred_at > $as_of - interval '30 days')) as last_month,
        ln(1 + count(*) filter (where occurred_at > $as_of - interval '90 days')) as last_quarter,
        ln(1 + count(*) filter (
            where type = 'email_clicked' and occurred_at > $as_of - interval '90 days'
        )) as email_clicks,
        ln(1 + count(*) filter (where type = 'email_unsubscribed')) as unsubscribed
    from activities
    where person_id <> 0
        and occurred_at <= $as_of
        and coalesce(direction, 'inbound') <> 'outbound'
    group by person_id
),
returned as (
    select person_id, ln(1 + count(*)) as refunds
    from _fact_orders_refunded
    where at <= $as_of
    group by person_id
),
asked as (
    select person_id, ln(1 + count(*)) as tickets
    from tickets
    where opened_at <= $as_of and opened_at > $as_of - interval '180 days'
    group by person_id
)
select
    spans.person_id,
    ln(1 + spans.recency) as recency,
    cast(spans.recency <= 30 as double) as bought_last_month,
    cast(spans.recency > 180 as double) as silent_half_a_year,
    ln(spans.times) as purchases,
    cast(spans.times = 1 as double) as bought_once,
    ln(1 + spans.interval_days) as interval_days,
    ln(1 + spans.recency / (1 + spans.interval_days)) as overdue,
    ln(1 + greatest(spans.basket, 0)) as basket,
    ln(1 + spans.tenure) as tenure,
    coalesce(acts.last_month, 0) as active_last_month,
    coalesce(acts.last_quarter, 0) as active_last_quarter,
    coalesce(acts.email_clicks, 0) as email_clicks,
    coalesce(acts.unsubscribed, 0) as unsubscribed,
    coalesce(returned.refunds, 0) as refunds,
    coalesce(asked.tickets, 0) as tickets
from spans
left join acts on acts.person_id = spans.person_id
left join returned on returned.person_id = spans.person_id
left join asked on asked.person_id = spans.person_id
order by spans.person_id
