-- purpose: refunds of orders that are not in the lake: they count for the person that they name
-- parameters: none
-- output: the columns of refunds, person_id never 0, refunded_at never later than now()
--
-- An order with a future `placed_at` is in the lake, too. `_own_refunds` has the rows of the session's
-- persons, `_stored_orders` their orders, `_other_orders` those of all other persons.
select refunds.*
from _own_refunds as refunds
left anti join _stored_orders as orders
    on orders.provider = refunds.provider and orders.external_id = refunds.order_id
left anti join _other_orders as others
    on others.provider = refunds.provider and others.external_id = refunds.order_id
where refunds.person_id <> 0 and refunds.refunded_at <= now()
