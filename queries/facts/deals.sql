-- purpose: deals in their current state: one that is closed later is still open
-- parameters: none
-- output: the columns of deals, at time (never null)
select
    * except (status),
    case when closed_at > now() then 'open' else status end as status,
    created_at as at
from deals
