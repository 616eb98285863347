-- about: products in deals, one row each, in our own columns
-- table: deal_lines
-- source: deal_lines = deal_lines.*|deal_lines-*|deal_lines_*
select * from deal_lines
