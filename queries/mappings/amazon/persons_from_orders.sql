-- about: buyers in the flat file of orders; without an e-mail each order has a buyer of its own
-- table: persons
-- source: orders = *orders*
-- optional: orders."buyer-email", orders."buyer-name", orders."buyer-phone-number"
-- optional: orders."recipient-name", orders."ship-address-1", orders."ship-address-2"
-- optional: orders."ship-city", orders."ship-state", orders."ship-postal-code"
-- optional: orders."ship-country", orders."purchase-date", orders."last-updated-date"
select
    case when o."buyer-email" is null then 'order/' || o."amazon-order-id" end as external_id,
    o."buyer-email" as email,
    coalesce(o."buyer-name", o."recipient-name") as display_name,
    -- If only a full name is given, its last word is taken as the last name.
    regexp_replace(coalesce(o."buyer-name", o."recipient-name"), '^.*\s', '') as last_name,
    o."buyer-phone-number" as phone,
    o."ship-address-1" as address_line1,
    o."ship-address-2" as address_line2,
    o."ship-city" as city,
    o."ship-state" as region,
    o."ship-postal-code" as postal_code,
    o."ship-country" as country,
    true as is_customer,
    o."purchase-date" as created_at,
    coalesce(o."last-updated-date", o."purchase-date") as updated_at
from orders o
