-- about: activities, one row each, in our own columns
-- table: activities
-- source: activities = activities.*|activities-*|activities_*
-- optional: activities.properties
-- personal: email, email_address, phone, phone_number
select * from activities
