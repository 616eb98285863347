-- about: subscriptions, one row each, in our own columns
-- table: subscriptions
-- source: subscriptions = subscriptions.*|subscriptions-*|subscriptions_*
select * from subscriptions
