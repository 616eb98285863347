-- purpose: what was bought: the lines of orders that count as revenue, from when they do
-- parameters: none
-- output: the columns of order_lines, at time (never null)
select order_lines.* except (person_id), orders.person_id, orders.revenue_at as at
from order_lines
inner join _orders as orders
    on orders.provider = order_lines.provider
    and orders.external_id = order_lines.order_id
where orders.is_revenue
