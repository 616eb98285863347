-- purpose: refunds, for the person of the order, or for their own person if the order is not in the lake
-- parameters: none
-- output: the columns of refunds, at time (never null)
select refunds.* except (person_id), orders.person_id, refunds.refunded_at as at
from refunds
inner join orders
    on orders.provider = refunds.provider
    and orders.external_id = refunds.order_id
union all
select lost.* except (person_id), lost.person_id, lost.refunded_at as at
from _lost_refunds as lost
