-- purpose: what each person paid, less what was given back, in the tenant's currency
-- parameters: $currency text (the tenant's currency, may be null), $as_of time
-- output: person_id bigint, paid_order_count bigint (never null), total_spent decimal(19,4) (never null),
--   average_order_value decimal(19,4) (total_spent per paid order whose amount is known and converted;
--   null without one), unconverted_amount_count bigint (never null; orders and refunds left out of the
--   sums because `fx_rates` has no rate of their currency on their day)
--
-- Which orders count, and from when, says the view `_sales`. A refund counts by `refunded_at` when its order counts; it belongs to the order's person, and is in the
-- order's currency where it names none. An amount without any currency is in the tenant's. Other
-- amounts are multiplied by the rate of that UTC day and rounded to four decimals, one by one.
with counted_orders as (
    select person_id, provider, external_id, amount, currency, at
    from _sales
    where kind = 'order' and person_id <> 0 and at <= $as_of
),
amounts as (
    select person_id, 1 as orders, amount, currency, cast(at as date) as day
    from counted_orders
    union all
    select
        counted_orders.person_id,
        0 as orders,
        -refunds.amount as amount,
        coalesce(refunds.currency, counted_orders.currency) as currency,
        cast(refunds.refunded_at as date) as day
    from refunds
    inner join counted_orders
        on counted_orders.provider = refunds.provider
        and counted_orders.external_id = refunds.order_id
    where refunds.refunded_at <= $as_of
),
converted as (
    select
        amounts.person_id,
        amounts.orders,
        amounts.amount,
        case
            when amounts.currency is null or amounts.currency = $currency then amounts.amount
            else cast(amounts.amount * rates.rate as decimal(19, 4))
        end as converted
    from amounts
    left join _rates as rates
        on rates.day = amounts.day and rates.currency = amounts.currency
)
select
    person_id,
    cast(sum(orders) as bigint) as paid_order_count,
    cast(coalesce(sum(converted), 0) as decimal(19, 4)) as total_spent,
    cast(
        cast(coalesce(sum(converted), 0) as decimal(28, 10))
            / nullif(count(converted) filter (where orders = 1), 0)
        as decimal(19, 4)
    ) as average_order_value,
    count(*) filter (where amount is not null and converted is null) as unconverted_amount_count
from converted
group by person_id
