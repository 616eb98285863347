-- about: closed deals: leads that became sellers; the file holds the won ones only, without an amount
-- table: deals
-- source: deals = *closed_deals_dataset*
-- timezone: America/Sao_Paulo
select
    d.mql_id as external_id,
    'lead/' || d.mql_id as person_external_id,
    'seller/' || d.seller_id as organization_id,
    'won' as stage,
    'won' as status,
    d.sr_id as owner,
    json_object(
        'sdr_id', d.sdr_id,
        'business_segment', d.business_segment,
        'lead_type', d.lead_type,
        'lead_behaviour_profile', d.lead_behaviour_profile,
        'has_company', lower(d.has_company),
        'has_gtin', lower(d.has_gtin),
        'average_stock', d.average_stock,
        'business_type', d.business_type,
        'declared_product_catalog_size', d.declared_product_catalog_size,
        'declared_monthly_revenue', d.declared_monthly_revenue
    ) as custom,
    -- The file does not say when a deal was opened; it existed by the time it was won.
    d.won_date as created_at,
    d.won_date as closed_at
from deals d
