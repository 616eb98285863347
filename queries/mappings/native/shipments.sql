-- about: shipments, one row each, in rollbook's own columns
-- table: shipments
-- source: shipments = shipments.*|shipments-*|shipments_*
select * from shipments
