-- purpose: what was given back of orders that are not in the lake: it counts for its own person
-- parameters: none
-- output: the columns of refunds, person_id never 0, refunded_at never later than now()
--
-- An order that is yet to be placed is in the lake. `_own_refunds` has the rows of the persons that
-- a session is over, `_stored_orders` their orders, `_other_orders` those of all others.
select refunds.*
from _own_refunds as refunds
left anti join _stored_orders as orders
    on orders.provider = refunds.provider and orders.external_id = refunds.order_id
left anti join _other_orders as others
    on others.provider = refunds.provider and others.external_id = refunds.order_id
where refunds.person_id <> 0 and refunds.refunded_at <= now()
