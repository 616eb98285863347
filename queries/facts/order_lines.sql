-- purpose: purchased items: the lines of orders that count as revenue, from the time at which the order counts
-- parameters: none
-- output: the columns of order_lines, at time (never null)
--
-- The status of an order that is not in the lake is unknown: its lines count for the person that they name,
-- from their own `placed_at`.
select order_lines.* except (person_id), orders.person_id, orders.revenue_at as at
from order_lines
inner join _orders as orders
    on orders.provider = order_lines.provider
    and orders.external_id = order_lines.order_id
where orders.is_revenue
union all
select lost.* except (person_id), lost.person_id, lost.placed_at as at
from _lost_order_lines as lost
