-- about: records of types that a tenant defines, one row each, in our own columns
-- table: objects
-- source: objects = objects.*|objects-*|objects_*
-- optional: objects.properties
-- personal: email, email_address, phone, phone_number
select * from objects
