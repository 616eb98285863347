-- about: orders, one row each, in our own columns
-- table: orders
-- source: orders = orders.*|orders-*|orders_*
select * from orders
