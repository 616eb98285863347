-- purpose: purchases of persons as known at their time: later events change no row
-- parameters: none
-- output: person_id bigint (never 0), at time (never null), amount decimal(19,4),
--   currency text
--
-- A purchase is an order from `paid_at` on, whatever its later status (without `paid_at`, from `placed_at`
-- on if its status counts as revenue), or a won deal from `closed_at` on.
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
