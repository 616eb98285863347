-- about: postal addresses, one row each, in our own columns
-- table: addresses
-- source: addresses = addresses.*|addresses-*|addresses_*
select * from addresses
