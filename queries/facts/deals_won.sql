-- purpose: won deals, at the time when they were won
-- parameters: none
-- output: the columns of deals, at time
select *, coalesce(closed_at, created_at) as at
from deals
where status = 'won'
