-- purpose: where the data of what is bought end, so that it is told of labels that reach beyond that
-- parameters: none
-- output: at time (null where there is none)
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
