-- about: customers; each order has a new customer_id, so customer_unique_id identifies the person
-- table: persons
-- source: customers = *customers_dataset*
-- source: orders? = *orders_dataset*
-- optional: orders.customer_id, orders.order_purchase_timestamp
-- timezone: America/Sao_Paulo
select
    'customer/' || c.customer_unique_id as external_id,
    c.customer_city as city,
    c.customer_state as region,
    -- The prefixes lost their leading zeros in a spreadsheet.
    case
        when length(c.customer_zip_code_prefix) < 5 then lpad(c.customer_zip_code_prefix, 5, '0')
        else c.customer_zip_code_prefix
    end as postal_code,
    'BR' as country,
    true as is_customer,
    -- A customer who ordered twice may have moved: the address of the later order wins.
    o.ordered_at as updated_at
from customers c
left join (
    select customer_id, max(order_purchase_timestamp) as ordered_at from orders group by customer_id
) o on o.customer_id = c.customer_id
