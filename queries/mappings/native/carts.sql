-- about: carts, one row each, in rollbook's own columns
-- table: carts
-- source: carts = carts.*|carts-*|carts_*
select * from carts
