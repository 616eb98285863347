-- purpose: sales that count as revenue: orders with such a status, and won deals
-- parameters: none
-- output: kind text (order, deal), provider text, external_id text, person_id bigint,
--   amount decimal(19,4), currency text, at time
--
-- An order counts from `paid_at`, else `placed_at`; a won deal from `closed_at`, else `created_at`.
select
    'order' as kind, provider, external_id, person_id, amount, currency,
    revenue_at as at
from _orders
where is_revenue
union all
select
    'deal' as kind, provider, external_id, person_id, value as amount, currency,
    coalesce(closed_at, created_at) as at
from deals
where status = 'won'
