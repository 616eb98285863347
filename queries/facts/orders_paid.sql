-- purpose: orders that count as revenue, from when they do
-- parameters: none
-- output: the columns of _orders, at time (never null)
select *, revenue_at as at
from _orders
where is_revenue
