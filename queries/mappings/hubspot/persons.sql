-- about: contacts, as connectors copy them from the API
-- table: persons
-- source: contacts = contact.*|contacts.*|contact_data.*
-- optional: contacts."_fivetran_deleted", contacts."property_email", contacts."property_firstname"
-- optional: contacts."property_lastname", contacts."property_phone", contacts."property_address"
-- optional: contacts."property_city", contacts."property_state", contacts."property_zip"
-- optional: contacts."property_country", contacts."property_jobtitle", contacts."property_company"
-- optional: contacts."property_createdate", contacts."property_lastmodifieddate"
-- optional: contacts."property_lifecyclestage"
select
    c."id" as external_id,
    c."property_email" as email,
    c."property_firstname" as first_name,
    c."property_lastname" as last_name,
    c."property_phone" as phone,
    c."property_address" as address_line1,
    c."property_city" as city,
    c."property_state" as region,
    c."property_zip" as postal_code,
    c."property_country" as country,
    c."property_jobtitle" as job_title,
    true as is_contact,
    c."property_lifecyclestage" as lifecycle_stage,
    c."property_createdate" as created_at,
    c."property_lastmodifieddate" as updated_at,
    json_object('company', c."property_company") as custom,
    lower(coalesce(c."_fivetran_deleted", 'false')) = 'true' as _deleted
from contacts c
