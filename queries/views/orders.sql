-- purpose: orders, and whether they count as revenue
-- parameters: none
-- output: provider text, external_id text, person_id bigint, amount decimal(19,4), currency text,
--   placed_at time, paid_at time, is_revenue boolean (null where the status is not known)
select
    provider, external_id, person_id, total as amount, currency, placed_at, paid_at,
    status in (
        'paid', 'partially_paid', 'fulfilled', 'completed', 'partially_refunded', 'refunded'
    ) as is_revenue
from orders
