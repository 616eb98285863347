-- about: orders of the admin export; an order's further lines repeat its Name and leave the rest blank
-- table: orders
-- source: orders = orders_export*
-- only: "Id" is not null or "Financial Status" is not null
-- optional: orders."Id", orders."Currency", orders."Subtotal", orders."Discount Amount"
-- optional: orders."Taxes", orders."Shipping", orders."Paid at", orders."Cancelled at"
-- optional: orders."Source", orders."Phone", orders."Billing Phone", orders."Billing Country"
select
    coalesce(o."Id", o."Name") as external_id,
    o."Email" as person_email,
    -- A buyer who checks out with a phone number instead of an e-mail address is identified by it.
    ltrim(coalesce(o."Phone", o."Billing Phone"), '''') as person_phone,
    o."Billing Country" as person_country,
    o."Financial Status" as status,
    o."Currency" as currency,
    o."Subtotal" as subtotal,
    o."Discount Amount" as discount,
    o."Taxes" as tax,
    o."Shipping" as shipping,
    o."Total" as total,
    o."Created at" as placed_at,
    o."Paid at" as paid_at,
    o."Cancelled at" as cancelled_at,
    o."Source" as source_name
from orders o
