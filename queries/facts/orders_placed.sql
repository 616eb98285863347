-- purpose: orders, whatever became of them, when they were placed
-- parameters: none
-- output: the columns of orders, at time (never null)
select *, placed_at as at
from orders
