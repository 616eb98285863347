-- about: products and their variants, one row each, in rollbook's own columns
-- table: products
-- source: products = products.*|products-*|products_*
select * from products
