-- about: deals, with the first contact that each has
-- table: deals
-- source: deals = deal.*|deals.*|deal_data.*
-- source: deal_contacts = deal_contact.*|deal_contacts.*|deal_contact_data.*
-- optional: deals."property_amount", deals."property_closedate", deals."property_dealname"
-- optional: deals."deal_pipeline_id", deals."deal_pipeline_stage_id", deals."owner_id"
-- optional: deals."property_createdate", deals."is_deleted"
select
    d."deal_id" as external_id,
    first.contact_id as person_external_id,
    d."property_dealname" as name,
    d."deal_pipeline_id" as pipeline,
    d."deal_pipeline_stage_id" as stage,
    case
        when lower(d."deal_pipeline_stage_id") = 'closedwon' then 'won'
        when lower(d."deal_pipeline_stage_id") = 'closedlost' then 'lost'
        else 'open'
    end as status,
    d."property_amount" as value,
    d."owner_id" as owner,
    case
        when lower(d."deal_pipeline_stage_id") in ('closedwon', 'closedlost') then d."property_closedate"
    end as closed_at,
    d."property_createdate" as created_at,
    lower(coalesce(d."is_deleted", 'false')) = 'true' as _deleted
from deals d
left join (
    select "deal_id", min("contact_id") as contact_id
    from deal_contacts
    group by "deal_id"
) first on first."deal_id" = d."deal_id"
