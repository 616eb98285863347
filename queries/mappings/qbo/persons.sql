-- about: customers of QuickBooks Online: the fields of its API, nested ones joined by a dot
-- table: persons
-- source: customers = customer*
-- optional: customers."DisplayName", customers."GivenName", customers."FamilyName"
-- optional: customers."PrimaryEmailAddr.Address", customers."PrimaryPhone.FreeFormNumber"
-- optional: customers."BillAddr.Line1", customers."BillAddr.Line2", customers."BillAddr.City"
-- optional: customers."BillAddr.CountrySubDivisionCode", customers."BillAddr.PostalCode"
-- optional: customers."BillAddr.Country", customers."MetaData.CreateTime"
-- optional: customers."MetaData.LastUpdatedTime", customers."CompanyName", customers."Active"
select
    c."Id" as external_id,
    c."DisplayName" as display_name,
    c."GivenName" as first_name,
    c."FamilyName" as last_name,
    c."PrimaryEmailAddr.Address" as email,
    c."PrimaryPhone.FreeFormNumber" as phone,
    c."BillAddr.Line1" as address_line1,
    c."BillAddr.Line2" as address_line2,
    c."BillAddr.City" as city,
    c."BillAddr.CountrySubDivisionCode" as region,
    c."BillAddr.PostalCode" as postal_code,
    c."BillAddr.Country" as country,
    true as is_customer,
    c."MetaData.CreateTime" as created_at,
    c."MetaData.LastUpdatedTime" as updated_at,
    json_object('company', c."CompanyName", 'active', c."Active") as custom
from customers c
