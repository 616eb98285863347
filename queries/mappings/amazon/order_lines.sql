-- about: items in the flat file of orders
-- table: order_lines
-- source: orders = *orders*
-- optional: orders."order-item-id", orders."sku", orders."asin", orders."product-name"
-- optional: orders."quantity", orders."item-price", orders."currency", orders."buyer-email"
select
    coalesce(o."order-item-id", o."amazon-order-id" || '/' || coalesce(o."sku", o."asin", '')) as external_id,
    o."amazon-order-id" as order_id,
    case when o."buyer-email" is null then 'order/' || o."amazon-order-id" end as person_external_id,
    o."buyer-email" as person_email,
    o."sku" as sku,
    o."product-name" as title,
    o."quantity" as quantity,
    o."item-price" as total,
    o."currency" as currency,
    o."purchase-date" as placed_at
from orders o
