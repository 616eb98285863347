-- purpose: the time of the last fact in the lake
-- parameters: none
-- output: at time (null in an empty lake)
select max(at) as at
from (
    select max(placed_at) as at from orders
    union all
    select max(paid_at) from orders
    union all
    select max(occurred_at) from activities
    union all
    select max(refunded_at) from refunds
    union all
    select max(opened_at) from tickets
    union all
    select max(created_at) from deals
)
