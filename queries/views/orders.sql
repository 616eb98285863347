-- purpose: orders, and whether they count as revenue
-- parameters: none
-- output: the columns of orders, amount decimal(19,4), is_revenue boolean (null if the status is unknown),
--   revenue_at time (when it begins to count)
select
    *,
    total as amount,
    status in (
        'paid', 'partially_paid', 'fulfilled', 'completed', 'partially_refunded', 'refunded'
    ) as is_revenue,
    coalesce(paid_at, placed_at) as revenue_at
from orders
