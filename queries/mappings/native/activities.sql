-- about: activities, one row each, in our own columns
-- table: activities
-- source: activities = activities.*|activities-*|activities_*
select * from activities
