-- about: buyers that the customers export does not list; existing rows are kept
-- table: persons
-- source: orders = orders_export*
-- only: coalesce("Email", "Phone", "Billing Phone") is not null and ("Id" is not null or "Financial Status" is not null)
-- existing: keep
-- optional: orders."Id", orders."Phone", orders."Accepts Marketing"
-- optional: orders."Billing Name", orders."Billing Phone", orders."Billing City"
-- optional: orders."Billing Zip", orders."Billing Province", orders."Billing Country"
select
    o."Email" as email,
    o."Billing Name" as display_name,
    ltrim(coalesce(o."Phone", o."Billing Phone"), '''') as phone,
    o."Billing City" as city,
    o."Billing Province" as region,
    ltrim(o."Billing Zip", '''') as postal_code,
    o."Billing Country" as country,
    true as is_customer,
    o."Accepts Marketing" as accepts_email_marketing,
    o."Created at" as created_at
from orders o
