-- purpose: orders that count as revenue, from the time at which they count
-- parameters: none
-- output: the columns of _orders, at time (never null)
select *, revenue_at as at
from _orders
where is_revenue
