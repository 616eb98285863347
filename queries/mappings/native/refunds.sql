-- about: refunds, one row each, in rollbook's own columns
-- table: refunds
-- source: refunds = refunds.*|refunds-*|refunds_*
select * from refunds
