-- purpose: the number and times of each person's orders, whatever their status
-- parameters: none
-- output: person_id bigint, order_count bigint (never null), first_order_at time, last_order_at time
select
    person_id,
    count(*) as order_count,
    min(placed_at) as first_order_at,
    max(placed_at) as last_order_at
from orders
where person_id <> 0
group by person_id
