-- about: payments, one row each, in rollbook's own columns
-- table: payments
-- source: payments = payments.*|payments-*|payments_*
select * from payments
