-- about: deals, one row each, in our own columns
-- table: deals
-- source: deals = deals.*|deals-*|deals_*
select * from deals
