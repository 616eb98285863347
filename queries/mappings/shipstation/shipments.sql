-- about: shipments for the orders of any shop; they add no orders
-- table: shipments
-- source: shipments = *shipments*
-- optional: shipments."customerEmail", shipments."carrierCode", shipments."shipDate"
select
    s."shipmentId" as external_id,
    case when s."customerEmail" is null then 'order/' || s."orderNumber" end as person_external_id,
    s."customerEmail" as person_email,
    s."orderNumber" as order_id,
    s."carrierCode" as carrier,
    s."shipDate" as shipped_at
from shipments s
