-- about: activities, one row each, in rollbook's own columns
-- table: activities
-- source: activities = activities.*|activities-*|activities_*
-- optional: activities.properties
-- personal: email, email_address, phone, phone_number
select * from activities
