-- purpose: all orders, whatever their status, at the time when they were placed
-- parameters: none
-- output: the columns of orders, at time (never null)
select *, placed_at as at
from orders
