-- about: the refunded amount of an order, as one sum: the export does not list single refunds
-- table: refunds
-- source: orders = orders_export*
-- only: "Refunded Amount" is not null and coalesce(try_cast("Refunded Amount" as decimal(19, 4)), 1) <> 0
-- optional: orders."Id", orders."Currency", orders."Refunded Amount", orders."Paid at"
-- optional: orders."Cancelled at", orders."Phone", orders."Billing Phone", orders."Billing Country"
select
    coalesce(o."Id", o."Name") as external_id,
    coalesce(o."Id", o."Name") as order_id,
    o."Email" as person_email,
    ltrim(coalesce(o."Phone", o."Billing Phone"), '''') as person_phone,
    o."Billing Country" as person_country,
    o."Refunded Amount" as amount,
    o."Currency" as currency,
    -- The export has no time of the refund: it is estimated as that of the cancellation, else of the payment.
    coalesce(o."Cancelled at", o."Paid at", o."Created at") as refunded_at,
    true as is_time_estimated
from orders o
