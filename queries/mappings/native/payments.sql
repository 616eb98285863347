-- about: payments, one row each, in our own columns
-- table: payments
-- source: payments = payments.*|payments-*|payments_*
select * from payments
