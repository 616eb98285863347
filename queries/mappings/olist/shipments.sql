-- about: orders that were handed to a carrier
-- table: shipments
-- source: orders = *orders_dataset*
-- source: customers = *customers_dataset*
-- only: order_delivered_carrier_date is not null
-- timezone: America/Sao_Paulo
select
    o.order_id as external_id,
    'customer/' || c.customer_unique_id as person_external_id,
    o.order_id,
    o.order_status as status,
    o.order_delivered_carrier_date as shipped_at,
    o.order_delivered_customer_date as delivered_at
from orders o
left join (
    select distinct customer_id, customer_unique_id from customers
) c on c.customer_id = o.customer_id
