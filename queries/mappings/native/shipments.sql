-- about: shipments, one row each, in our own columns
-- table: shipments
-- source: shipments = shipments.*|shipments-*|shipments_*
select * from shipments
