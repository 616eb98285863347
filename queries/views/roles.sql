-- purpose: the roles of persons, by documented rules
-- parameters: none
-- output: person_id bigint (never 0), is_customer, is_lead, is_contact, is_vendor, is_employee boolean
--   (never null), lifecycle_stage text (visitor, lead, contact, customer or evangelist)
--
-- A customer has bought, or is one according to a source. A lead has an open deal, or is one according to a
-- source. A contact is in a CRM, or has an e-mail address. Vendors and employees are so
-- according to a source. The stage is the first of customer, lead, contact and visitor that applies; an
-- evangelist is a customer whom a source calls one.
with bought as (
    select distinct person_id from _purchases where at <= now()
),
dealing as (
    select distinct person_id
    from deals
    where status = 'open' or closed_at > now()
),
in_crm as (
    select distinct person_id from identities where provider in ('hubspot', 'klaviyo', 'manual')
),
flags as (
    select
        p.person_id,
        p.lifecycle_stage as said,
        coalesce(p.is_customer, false) or bought.person_id is not null as is_customer,
        coalesce(p.is_lead, false) or dealing.person_id is not null as is_lead,
        coalesce(p.is_contact, false) or in_crm.person_id is not null
            or p.email_domain is not null as is_contact,
        coalesce(p.is_vendor, false) as is_vendor,
        coalesce(p.is_employee, false) as is_employee
    from persons p
    left join bought on bought.person_id = p.person_id
    left join dealing on dealing.person_id = p.person_id
    left join in_crm on in_crm.person_id = p.person_id
    where p.person_id <> 0
)
select
    person_id, is_customer, is_lead, is_contact, is_vendor, is_employee,
    case
        when is_customer and said = 'evangelist' then 'evangelist'
        when is_customer then 'customer'
        when is_lead then 'lead'
        when is_contact then 'contact'
        else 'visitor'
    end as lifecycle_stage
from flags
