-- about: postal addresses, one row each, in rollbook's own columns
-- table: addresses
-- source: addresses = addresses.*|addresses-*|addresses_*
select * from addresses
