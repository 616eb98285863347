-- purpose: what persons did, for `did` and its like: each row of `activities`
-- parameters: none
-- output: the columns of activities, at time (never null)
select *, occurred_at as at
from activities
