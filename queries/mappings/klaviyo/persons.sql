-- about: profiles of an exported list
-- table: persons
-- source: profiles = *profiles*|*list*|*members*
-- optional: profiles."Klaviyo ID", profiles."First Name", profiles."Last Name"
-- optional: profiles."Phone Number", profiles."Address", profiles."City"
-- optional: profiles."State / Region", profiles."Zip Code", profiles."Country"
-- optional: profiles."Email Marketing Consent", profiles."SMS Marketing Consent"
-- optional: profiles."Profile Created On"
select
    p."Klaviyo ID" as external_id,
    p."Email" as email,
    p."First Name" as first_name,
    p."Last Name" as last_name,
    p."Phone Number" as phone,
    p."Address" as address_line1,
    p."City" as city,
    p."State / Region" as region,
    p."Zip Code" as postal_code,
    p."Country" as country,
    case upper(p."Email Marketing Consent")
        when 'SUBSCRIBED' then true when 'TRUE' then true
        when 'UNSUBSCRIBED' then false when 'FALSE' then false
    end as accepts_email_marketing,
    case upper(p."SMS Marketing Consent")
        when 'SUBSCRIBED' then true when 'TRUE' then true
        when 'UNSUBSCRIBED' then false when 'FALSE' then false
    end as accepts_sms_marketing,
    p."Profile Created On" as created_at
from profiles p
