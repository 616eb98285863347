-- about: marketing-qualified leads, people who asked to sell on the marketplace
-- table: persons
-- source: leads = *marketing_qualified_leads_dataset*
-- timezone: America/Sao_Paulo
select
    'lead/' || l.mql_id as external_id,
    true as is_lead,
    l.origin as source,
    l.first_contact_date as created_at
from leads l
