-- purpose: what was bought: the lines of orders that count as revenue, from when they do
-- parameters: none
-- output: the columns of order_lines, at time (never null)
--
-- Of an order that is not in the lake nobody knows its status: its lines count for their own person,
-- from when they say that it was placed.
select order_lines.* except (person_id), orders.person_id, orders.revenue_at as at
from order_lines
inner join _orders as orders
    on orders.provider = order_lines.provider
    and orders.external_id = order_lines.order_id
where orders.is_revenue
union all
select lost.* except (person_id), lost.person_id, lost.placed_at as at
from _lost_order_lines as lost
