-- about: consents that persons gave or withdrew, one row each, in rollbook's own columns
-- table: consents
-- source: consents = consents.*|consents-*|consents_*
select * from consents
