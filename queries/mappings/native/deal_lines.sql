-- about: products in deals, one row each, in rollbook's own columns
-- table: deal_lines
-- source: deal_lines = deal_lines.*|deal_lines-*|deal_lines_*
select * from deal_lines
