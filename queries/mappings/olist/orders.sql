-- about: orders, with the amounts of their items added up
-- table: orders
-- source: orders = *orders_dataset*
-- source: customers = *customers_dataset*
-- source: items = *order_items_dataset*
-- timezone: America/Sao_Paulo
select
    o.order_id as external_id,
    'customer/' || c.customer_unique_id as person_external_id,
    case lower(trim(o.order_status))
        when 'created' then 'pending'
        when 'approved' then 'paid'
        when 'invoiced' then 'paid'
        when 'processing' then 'paid'
        when 'shipped' then 'fulfilled'
        when 'delivered' then 'completed'
        when 'canceled' then 'cancelled'
        else o.order_status
    end as status,
    'BRL' as currency,
    i.subtotal,
    i.shipping,
    i.subtotal + i.shipping as total,
    o.order_purchase_timestamp as placed_at,
    o.order_approved_at as paid_at
from orders o
left join (
    select distinct customer_id, customer_unique_id from customers
) c on c.customer_id = o.customer_id
left join (
    -- If an amount cannot be read, the sum is null: no sum is better than a wrong one.
    select
        order_id,
        case when count(*) = count(price) then sum(price) end as subtotal,
        case when count(*) = count(freight) then sum(freight) end as shipping
    from (
        -- Distinct, so that an item in two overlapping files counts once.
        select distinct
            order_id,
            order_item_id,
            try_cast(price as decimal(19, 4)) as price,
            try_cast(freight_value as decimal(19, 4)) as freight
        from items
    )
    group by order_id
) i on i.order_id = o.order_id
