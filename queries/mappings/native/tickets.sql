-- about: support requests, one row each, in rollbook's own columns
-- table: tickets
-- source: tickets = tickets.*|tickets-*|tickets_*
select * from tickets
