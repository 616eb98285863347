-- about: sellers on the marketplace
-- table: organizations
-- source: sellers = *sellers_dataset*
select
    'seller/' || s.seller_id as external_id,
    'BR' as country,
    json_object(
        'city', s.seller_city,
        'region', s.seller_state,
        -- The prefixes lost their leading zeros in a spreadsheet.
        'postal_code', case
            when length(s.seller_zip_code_prefix) < 5 then lpad(s.seller_zip_code_prefix, 5, '0')
            else s.seller_zip_code_prefix
        end
    ) as custom
from sellers s
