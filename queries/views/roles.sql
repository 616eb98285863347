-- purpose: what persons are to the business, by rules that anybody can read
-- parameters: none
-- output: person_id bigint (never 0), is_customer, is_lead, is_contact, is_vendor, is_employee boolean
--   (never null), lifecycle_stage text (visitor, lead, contact, customer or evangelist)
--
-- A customer has bought, or the source says so. A lead has an open deal, or the source says so. A
-- contact is in a CRM, or can be written to. Vendors and employees are those of whom a source says so.
-- The stage is the first of customer, lead, contact and visitor that fits; an evangelist is a customer
-- whom a source calls so.
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
