-- about: requests for support, one row each, in our own columns
-- table: tickets
-- source: tickets = tickets.*|tickets-*|tickets_*
select * from tickets
