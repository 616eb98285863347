-- purpose: the time of the last order or deal, so that labels beyond it are reported
-- parameters: none
-- output: at time (null if there is none)
select max(at) as at
from (
    select max(placed_at) as at from orders
    union all
    select max(paid_at) from orders
    union all
    select max(created_at) from deals
    union all
    select max(closed_at) from deals
)
