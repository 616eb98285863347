-- purpose: booked revenue of a period: orders that count as revenue and won deals, before refunds
-- parameters: $currency text (the tenant's currency, may be null), $as_of time, $from time (inclusive,
--   may be null), $to time (exclusive, may be null)
-- output: conversions bigint, booked decimal(19,4), unconverted bigint (left out because `fx_rates` has no
--   rate of their currency for their day), not_linked bigint (conversions that are linked to no person),
--   earlier_rate bigint (amounts converted by the rate of an earlier day), refunded decimal(19,4) (refunds
--   until $as_of of the booked orders, and refunds in the period of orders that are not in the lake, in the
--   tenant's currency)
with chosen as (
    select *
    from _sales
    where at <= $as_of and ($from is null or at >= $from) and ($to is null or at < $to)
),
given_back as (
    select refunds.amount, coalesce(refunds.currency, chosen.currency) as currency,
        cast(refunds.refunded_at as date) as day
    from refunds
    inner join chosen
        on chosen.kind = 'order'
        and chosen.provider = refunds.provider
        and chosen.external_id = refunds.order_id
    where refunds.refunded_at <= $as_of
    union all
    select refunds.amount, refunds.currency, cast(refunds.refunded_at as date) as day
    from refunds
    left anti join _stored_orders as orders
        on orders.provider = refunds.provider
        and orders.external_id = refunds.order_id
    where refunds.refunded_at <= $as_of
        and ($from is null or refunds.refunded_at >= $from)
        and ($to is null or refunds.refunded_at < $to)
),
amounts as (
    select 1 as is_conversion, person_id, amount, currency, cast(at as date) as day from chosen
    union all
    select 0 as is_conversion, 0 as person_id, amount, currency, day from given_back
),
converted as (
    select
        amounts.is_conversion,
        amounts.person_id,
        case
            when amounts.amount is null then cast(0 as decimal(19, 4))
            when amounts.currency is null or amounts.currency = $currency then amounts.amount
            else try_cast(amounts.amount * rates.rate as decimal(19, 4))
        end as value,
        amounts.currency is distinct from $currency and rates.age > 0 as is_of_earlier_rate
    from amounts
    left join _rates as rates
        on rates.day = amounts.day and rates.currency = amounts.currency
)
select
    count(value) filter (where is_conversion = 1) as conversions,
    cast(coalesce(sum(value) filter (where is_conversion = 1), 0) as decimal(19, 4)) as booked,
    count(*) filter (where is_conversion = 1 and value is null) as unconverted,
    count(value) filter (where is_conversion = 1 and person_id = 0) as not_linked,
    count(value) filter (where is_of_earlier_rate) as earlier_rate,
    cast(coalesce(sum(value) filter (where is_conversion = 0), 0) as decimal(19, 4)) as refunded
from converted
