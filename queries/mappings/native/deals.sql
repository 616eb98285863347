-- about: deals, one row each, in rollbook's own columns
-- table: deals
-- source: deals = deals.*|deals-*|deals_*
select * from deals
