-- purpose: lines of orders that are not in the lake: they count for the person that they name
-- parameters: none
-- output: the columns of order_lines, person_id never 0, placed_at never later than now()
--
-- See `_lost_refunds`, which is the same for refunds.
select lines.*
from _own_order_lines as lines
left anti join _stored_orders as orders
    on orders.provider = lines.provider and orders.external_id = lines.order_id
left anti join _other_orders as others
    on others.provider = lines.provider and others.external_id = lines.order_id
where lines.person_id <> 0 and lines.placed_at <= now()
