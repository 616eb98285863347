-- purpose: payments and refunds, one row per amount, in the tenant's currency
-- parameters: $currency text (the tenant's currency, may be null)
-- output: the columns of _orders (of the order that it belongs to; if there is no such order, all but
--   person and order id are null), orders bigint (1 for an order, 0 for a refund), paid decimal(19,4)
--   (negative for a refund), converted decimal(19,4) (null if `fx_rates` has no rate of its currency for
--   its day, or it is too large), at time
--
-- A refund counts at `refunded_at` if its order counts; it belongs to the order's person, and is in the
-- order's currency if it has none. A refund of an order that is not in the lake counts for its own person.
-- An amount without a currency is in the tenant's. Other amounts are multiplied by the rate of that day in
-- the tenant's time zone, and each is rounded to four decimals.
with counted as (
    select *
    from _orders
    where is_revenue and person_id <> 0 and revenue_at <= now()
),
amounts as (
    select counted.*, 1 as orders, amount as paid, currency as paid_in, revenue_at as at
    from counted
    union all
    select
        counted.*,
        0 as orders,
        -refunds.amount as paid,
        coalesce(refunds.currency, counted.currency) as paid_in,
        refunds.refunded_at as at
    from counted
    inner join refunds
        on counted.provider = refunds.provider
        and counted.external_id = refunds.order_id
    where refunds.refunded_at <= now()
    union all
    select
        no_order.* replace (
            lost.person_id as person_id,
            lost.identity_id as identity_id,
            lost.provider as provider,
            lost.order_id as external_id
        ),
        0 as orders,
        -lost.amount as paid,
        lost.currency as paid_in,
        lost.refunded_at as at
    from _lost_refunds as lost
    left join (select * from _orders where false) as no_order
        on no_order.person_id = lost.person_id
)
select
    amounts.*,
    case
        when amounts.paid_in is null or amounts.paid_in = $currency then amounts.paid
        else try_cast(amounts.paid * rates.rate as decimal(19, 4))
    end as converted
from amounts
left join _rates as rates
    on rates.day = cast(amounts.at as date) and rates.currency = amounts.paid_in
