-- about: items of orders; the source writes one row per piece
-- table: order_lines
-- source: items = *order_items_dataset*
-- source: orders = *orders_dataset*
-- source: customers = *customers_dataset*
-- source: products? = *products_dataset*
-- source: translation? = *product_category_name_translation*
-- optional: products.product_id, products.product_category_name
-- optional: translation.product_category_name, translation.product_category_name_english
-- timezone: America/Sao_Paulo
select
    i.order_id || '/' || i.order_item_id as external_id,
    'customer/' || c.customer_unique_id as person_external_id,
    i.order_id,
    i.order_item_id as line,
    i.product_id,
    -- Without the file of translations, the known translation is kept.
    case when t.english is null then p.product_category_name else t.english end as category,
    1 as quantity,
    i.price as unit_price,
    i.price as total,
    'BRL' as currency,
    o.order_purchase_timestamp as placed_at
from items i
left join (
    select distinct order_id, customer_id, order_purchase_timestamp from orders
) o on o.order_id = i.order_id
left join (
    select distinct customer_id, customer_unique_id from customers
) c on c.customer_id = o.customer_id
left join (
    select product_id, max(product_category_name) as product_category_name
    from products
    group by product_id
) p on p.product_id = i.product_id
left join (
    select product_category_name, max(product_category_name_english) as english
    from translation
    group by product_category_name
) t on t.product_category_name = p.product_category_name
