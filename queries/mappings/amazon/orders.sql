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
    -- The status of a shipped order has details after a hyphen: `Shipped - Delivered to Buyer`.
    case
        when r.state like '%returning%' then 'returning'
        when r.state like '%return%' then 'returned'
        when r.state like '%reject%' or r.state like '%refuse%' then 'rejected'
        when r.state like '%undeliver%' then 'returned'
        when r.state like '%lost%' then 'lost'
        when r.state like '%damage%' then 'damaged'
        when r.state like '%cancel%' then 'cancelled'
        when r.state like 'pending%' then 'pending'
        when r.state like 'shipped%' or r.state like 'delivered%' then 'fulfilled'
        when r.state = 'invoiceunconfirmed' then 'fulfilled'
        when r.state in ('unshipped', 'partiallyshipped', 'shipping') then 'paid'
        when r.state = 'unfulfillable' then 'unavailable'
        else r.state
    end as status,
    r."currency" as currency,
    -- An amount that cannot be read is passed on as it is, so that its row goes to quarantine.
    case
        when count(r.item) over whole = count(*) over whole
            then cast(sum(r.item) over whole as varchar)
        else 'unreadable: ' || max(case when r.item is null then r."item-price" end) over whole
    end as subtotal,
    case
        when count(r.tax) over whole = count(*) over whole
            then cast(sum(r.tax) over whole as varchar)
        else 'unreadable: ' || max(case when r.tax is null then r."item-tax" end) over whole
    end as tax,
    case
        when count(r.shipping) over whole = count(*) over whole
            then cast(sum(r.shipping) over whole as varchar)
        else 'unreadable: ' || max(case when r.shipping is null then r."shipping-price" end) over whole
    end as shipping,
    sum(r.item + r.tax + r.shipping) over whole as total,
    r."purchase-date" as placed_at,
    r."sales-channel" as source_name
from (
    select
        o.*,
        lower(trim(coalesce(o."order-status", 'shipped'))) as state,
        try_cast(coalesce(o."item-price", '0') as decimal(19, 4)) as item,
        try_cast(coalesce(o."item-tax", '0') as decimal(19, 4)) as tax,
        try_cast(coalesce(o."shipping-price", '0') as decimal(19, 4)) as shipping
    from orders o
) r
window whole as (partition by r."amazon-order-id")
