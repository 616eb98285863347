-- purpose: the start of the data, so that no model is trained on times before it
-- parameters: none
-- output: at time (null in an empty lake)
select min(at) as at
from (
    select min(created_at) as at from persons
    union all
    select min(placed_at) from orders
    union all
    select min(occurred_at) from activities
)
