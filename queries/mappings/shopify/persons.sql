-- about: customers of the admin export; the key is the e-mail address, or the id of a customer without one
-- table: persons
-- source: customers = customers_export*
-- optional: customers."Customer ID", customers."First Name", customers."Last Name"
-- optional: customers."Accepts Email Marketing", customers."Accepts Marketing"
-- optional: customers."Accepts SMS Marketing", customers."Phone", customers."Default Address Phone"
-- optional: customers."Company", customers."Default Address Company"
-- optional: customers."City", customers."Default Address City"
-- optional: customers."Province", customers."Province Code", customers."Default Address Province Code"
-- optional: customers."Country Code", customers."Default Address Country Code"
-- optional: customers."Zip", customers."Default Address Zip"
-- optional: customers."Total Spent", customers."Total Orders", customers."Tags", customers."Note"
-- optional: customers."Tax Exempt"
select
    -- Orders name their buyer only by e-mail address, so that is the key if there is one.
    case when c."Email" is null then 'customer/' || ltrim(c."Customer ID", '''') end as external_id,
    c."Email" as email,
    nullif(concat_ws(' ', c."First Name", c."Last Name"), '') as display_name,
    c."First Name" as first_name,
    c."Last Name" as last_name,
    -- A leading apostrophe keeps spreadsheets from reading a number; it is not part of the value.
    ltrim(coalesce(c."Phone", c."Default Address Phone"), '''') as phone,
    coalesce(c."City", c."Default Address City") as city,
    coalesce(c."Province Code", c."Default Address Province Code", c."Province") as region,
    ltrim(coalesce(c."Zip", c."Default Address Zip"), '''') as postal_code,
    coalesce(c."Country Code", c."Default Address Country Code") as country,
    try_cast(c."Total Orders" as bigint) > 0 as is_customer,
    coalesce(c."Accepts Email Marketing", c."Accepts Marketing") as accepts_email_marketing,
    c."Accepts SMS Marketing" as accepts_sms_marketing,
    -- The list of tags has quotes of its own inside the field.
    btrim(c."Tags", '"') as tags,
    c."Note" as note,
    json_object(
        'customer_id', ltrim(c."Customer ID", ''''),
        'company', coalesce(c."Company", c."Default Address Company"),
        'tax_exempt', c."Tax Exempt",
        'total_spent', c."Total Spent",
        'total_orders', c."Total Orders"
    ) as custom
from customers c
