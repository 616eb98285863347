-- about: orders in the flat file, which has a line for each item; each line has the sums of its order
-- table: orders
-- source: orders = *orders*
-- optional: orders."order-status", orders."currency", orders."item-price", orders."item-tax"
-- optional: orders."shipping-price", orders."buyer-email", orders."last-updated-date"
-- optional: orders."sales-channel"
select
    r._file,
    r._line,
    r."amazon-order-id" as external_id,
    case when r."buyer-email" is null then 'order/' || r."amazon-order-id" end as person_external_id,
    r."buyer-email" as person_email,
    case lower(coalesce(r."order-status", 'shipped'))
        when 'shipped' then 'fulfilled'
        when 'unshipped' then 'paid'
        when 'partiallyshipped' then 'paid'
        when 'canceled' then 'cancelled'
        when 'cancelled' then 'cancelled'
        else lower(r."order-status")
    end as status,
    r."currency" as currency,
    sum(r.item) over (partition by r."amazon-order-id") as subtotal,
    sum(r.tax) over (partition by r."amazon-order-id") as tax,
    sum(r.shipping) over (partition by r."amazon-order-id") as shipping,
    sum(r.item + r.tax + r.shipping) over (partition by r."amazon-order-id") as total,
    r."purchase-date" as placed_at,
    r."sales-channel" as source_name
from (
    select
        o.*,
        coalesce(try_cast(o."item-price" as decimal(19, 4)), 0) as item,
        coalesce(try_cast(o."item-tax" as decimal(19, 4)), 0) as tax,
        coalesce(try_cast(o."shipping-price" as decimal(19, 4)), 0) as shipping
    from orders o
) r
