-- purpose: the amount that each person paid, less refunds, in the tenant's currency
-- parameters: none
-- output: person_id bigint, paid_order_count bigint (never null), total_spent decimal(29,4) (never null),
--   average_order_value decimal(29,4) (total_spent by paid_order_count; null without a paid order), unconverted_amount_count bigint (never null; orders and refunds left out of the
--   sums because `fx_rates` has no rate of their currency for their day, or they are too large)
--
-- The view `_spending` defines which amounts count, from when, and how they are converted.
select
    person_id,
    cast(sum(orders) as bigint) as paid_order_count,
    cast(coalesce(sum(converted), 0) as decimal(29, 4)) as total_spent,
    cast(
        cast(coalesce(sum(converted), 0) as decimal(35, 10)) / nullif(sum(orders), 0)
        as decimal(29, 4)
    ) as average_order_value,
    count(*) filter (where paid is not null and converted is null) as unconverted_amount_count
from _spending
group by person_id
