-- purpose: lost deals, at the time when they were lost
-- parameters: none
-- output: the columns of deals, at time
select *, coalesce(closed_at, created_at) as at
from deals
where status = 'lost'
