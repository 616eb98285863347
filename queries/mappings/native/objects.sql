-- about: objects of custom types, one row each, in rollbook's own columns
-- table: objects
-- source: objects = objects.*|objects-*|objects_*
-- optional: objects.properties
-- personal: email, email_address, phone, phone_number
select * from objects
