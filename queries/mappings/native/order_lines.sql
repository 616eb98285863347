-- about: lines of orders, one row each, in our own columns
-- table: order_lines
-- source: order_lines = order_lines.*|order_lines-*|order_lines_*
select * from order_lines
