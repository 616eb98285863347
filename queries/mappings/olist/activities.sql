-- about: the first contact of each lead, with the channel that brought it
-- table: activities
-- source: leads = *marketing_qualified_leads_dataset*
-- timezone: America/Sao_Paulo
select
    'first_contact/' || l.mql_id as external_id,
    'lead/' || l.mql_id as person_external_id,
    'first_contact' as type,
    l.origin as channel,
    'inbound' as direction,
    l.first_contact_date as occurred_at,
    json_object('landing_page_id', l.landing_page_id) as properties
from leads l
