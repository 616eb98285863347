-- about: carts, one row each, in our own columns
-- table: carts
-- source: carts = carts.*|carts-*|carts_*
select * from carts
