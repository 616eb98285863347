-- purpose: deals that were lost, when they were
-- parameters: none
-- output: the columns of deals, at time
select *, coalesce(closed_at, created_at) as at
from deals
where status = 'lost'
