-- about: lines of orders, one row each, in rollbook's own columns
-- table: order_lines
-- source: order_lines = order_lines.*|order_lines-*|order_lines_*
select * from order_lines
