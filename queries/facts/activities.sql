-- purpose: activities of persons, for `did` and similar functions: each row of `activities`
-- parameters: none
-- output: the columns of activities, at time (never null)
select *, occurred_at as at
from activities
