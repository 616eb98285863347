-- about: refunds, one row each, in our own columns
-- table: refunds
-- source: refunds = refunds.*|refunds-*|refunds_*
select * from refunds
