-- about: deals, each with its first contact
-- table: deals
-- source: deals = deal.*|deals.*|deal_data.*
-- source: deal_contacts = deal_contact.*|deal_contacts.*|deal_contact_data.*
-- source: stages? = deal_pipeline_stage.*|deal_pipeline_stages.*|deal_pipeline_stage_data.*
-- source: known = lake:pipelines
-- optional: deals."property_amount", deals."property_closedate", deals."property_dealname"
-- optional: deals."deal_pipeline_id", deals."deal_pipeline_stage_id", deals."owner_id"
-- optional: deals."property_createdate", deals."is_deleted"
-- optional: deals."property_hs_is_closed", deals."property_hs_is_closed_won"
-- optional: deals."property_hs_is_closed_lost", deals."property_hs_deal_stage_probability"
-- optional: stages."pipeline_id", stages."stage_id", stages."is_closed", stages."closed_won"
-- optional: stages."probability"
select
    d._file,
    d._line,
    d."deal_id" as external_id,
    first.contact_id as person_external_id,
    d."property_dealname" as name,
    d."deal_pipeline_id" as pipeline,
    d."deal_pipeline_stage_id" as stage,
    d.won_or_lost as status,
    d."property_amount" as value,
    d."property_hs_deal_stage_probability" as probability,
    d."owner_id" as owner,
    -- While a deal is open, its close date is the expected one.
    case when d.won_or_lost = 'open' then d."property_closedate" end as expected_close_date,
    case when d.won_or_lost in ('won', 'lost') then d."property_closedate" end as closed_at,
    d."property_createdate" as created_at,
    lower(coalesce(d."is_deleted", 'false')) = 'true' as _deleted
from (
    -- Whether a deal was won is taken from the deal itself, else from its stage: in these files, else in
    -- the lake. Without them, only the stages of HubSpot's default pipeline are known by name.
    select
        s.*,
        case
            when lower(s."property_hs_is_closed_won") in ('true', '1') then 'won'
            when lower(s."property_hs_is_closed_lost") in ('true', '1') then 'lost'
            when lower(s."property_hs_is_closed") in ('false', '0') then 'open'
            when lower(s."property_hs_is_closed") in ('true', '1')
                and lower(s."property_hs_is_closed_won") in ('false', '0') then 'lost'
            else coalesce(
                by_file.status,
                by_lake.status,
                case
                    when lower(s."deal_pipeline_stage_id") = 'closedwon' then 'won'
                    when lower(s."deal_pipeline_stage_id") = 'closedlost' then 'lost'
                end,
                'open'
            )
        end as won_or_lost
    from deals s
    left join (
        select
            "pipeline_id" as pipeline,
            "stage_id" as stage,
            max(
                case
                    when lower("closed_won") in ('true', '1') then 'won'
                    when lower("is_closed") in ('false', '0') then 'open'
                    when lower("is_closed") in ('true', '1') and lower("closed_won") in ('false', '0')
                        then 'lost'
                    when try_cast("probability" as double) = 1 then 'won'
                    when try_cast("probability" as double) = 0 then 'lost'
                    when "is_closed" is null and "probability" is not null then 'open'
                end
            ) as status
        from stages
        group by "pipeline_id", "stage_id"
    ) by_file
        on by_file.stage = s."deal_pipeline_stage_id"
        and by_file.pipeline = coalesce(s."deal_pipeline_id", 'default')
    left join (
        select
            pipeline,
            stage,
            max(
                case
                    when is_won = 'true' then 'won'
                    when is_lost = 'true' then 'lost'
                    when is_won = 'false' and is_lost = 'false' then 'open'
                end
            ) as status
        from known
        where provider = 'hubspot'
        group by pipeline, stage
    ) by_lake
        on by_lake.stage = s."deal_pipeline_stage_id"
        and by_lake.pipeline = coalesce(s."deal_pipeline_id", 'default')
) d
left join (
    select "deal_id", min("contact_id") as contact_id
    from deal_contacts
    group by "deal_id"
) first on first."deal_id" = d."deal_id"
