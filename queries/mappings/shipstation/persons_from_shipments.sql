-- about: recipients of shipments: the fields of the API, nested ones joined by a dot
-- table: persons
-- source: shipments = *shipments*
-- optional: shipments."customerEmail", shipments."shipTo.name", shipments."shipTo.phone"
-- optional: shipments."shipTo.street1", shipments."shipTo.street2", shipments."shipTo.city"
-- optional: shipments."shipTo.state", shipments."shipTo.postalCode", shipments."shipTo.country"
-- optional: shipments."createDate"
select
    case when s."customerEmail" is null then 'order/' || s."orderNumber" end as external_id,
    s."customerEmail" as email,
    s."shipTo.name" as display_name,
    -- If only a full name is given, its last word is taken as the last name.
    regexp_replace(s."shipTo.name", '^.*\s', '') as last_name,
    s."shipTo.phone" as phone,
    s."shipTo.street1" as address_line1,
    s."shipTo.street2" as address_line2,
    s."shipTo.city" as city,
    s."shipTo.state" as region,
    s."shipTo.postalCode" as postal_code,
    s."shipTo.country" as country,
    true as is_customer,
    s."createDate" as created_at,
    s."createDate" as updated_at
from shipments s
