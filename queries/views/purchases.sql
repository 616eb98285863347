-- purpose: when persons bought, as it stood at the time: what is dated later moves no row
-- parameters: none
-- output: person_id bigint (never 0), at time (never null), amount decimal(19,4),
--   currency text
--
-- Bought is an order from `paid_at` on, whatever its status says later (without `paid_at` from
-- `placed_at` on, where its status counts as revenue), or a won deal from `closed_at` on.
select person_id, at, amount, currency
from (
    select
        person_id, amount, currency,
        coalesce(paid_at, case when is_revenue then placed_at end) as at
    from _orders
    union all
    select person_id, value as amount, currency, closed_at as at
    from deals
    where status = 'won'
)
where person_id <> 0 and at is not null
