-- about: subscriptions, one row each, in rollbook's own columns
-- table: subscriptions
-- source: subscriptions = subscriptions.*|subscriptions-*|subscriptions_*
select * from subscriptions
