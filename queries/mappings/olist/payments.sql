-- about: payments; one whose order is not among the files is kept, without a person and a time
-- table: payments
-- source: payments = *order_payments_dataset*
-- source: orders = *orders_dataset*
-- source: customers = *customers_dataset*
-- timezone: America/Sao_Paulo
select
    p.order_id || '/' || p.payment_sequential as external_id,
    'customer/' || c.customer_unique_id as person_external_id,
    p.order_id,
    p.payment_type as method,
    p.payment_value as amount,
    'BRL' as currency,
    p.payment_installments as installments,
    -- The file has no time: an order counts as paid when it is approved.
    coalesce(o.order_approved_at, o.order_purchase_timestamp) as at
from payments p
left join (
    select distinct order_id, customer_id, order_purchase_timestamp, order_approved_at from orders
) o on o.order_id = p.order_id
left join (
    select distinct customer_id, customer_unique_id from customers
) c on c.customer_id = o.customer_id
