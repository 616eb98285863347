-- about: orders, one row each, in rollbook's own columns
-- table: orders
-- source: orders = orders.*|orders-*|orders_*
select * from orders
