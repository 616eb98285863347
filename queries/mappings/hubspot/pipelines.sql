-- about: the stages of pipelines, and which of them close a deal
-- table: pipelines
-- source: stages = deal_pipeline_stage.*|deal_pipeline_stages.*|deal_pipeline_stage_data.*
-- optional: stages."display_order", stages."probability", stages."is_closed", stages."closed_won"
-- optional: stages."_fivetran_deleted"
select
    s."pipeline_id" || '/' || s."stage_id" as external_id,
    s."pipeline_id" as pipeline,
    s."stage_id" as stage,
    s."display_order" as position,
    s."probability" as probability,
    -- Without the flags the probability decides: it is 1 in a won stage and 0 in a lost one.
    case
        when s."closed_won" is not null then s."closed_won"
        when lower(s."is_closed") in ('false', '0') then 'false'
        else cast(try_cast(s."probability" as double) = 1 as varchar)
    end as is_won,
    case
        when lower(s."closed_won") in ('true', '1') or lower(s."is_closed") in ('false', '0') then 'false'
        when lower(s."is_closed") in ('true', '1') and s."closed_won" is not null then 'true'
        else cast(try_cast(s."probability" as double) = 0 as varchar)
    end as is_lost,
    lower(coalesce(s."_fivetran_deleted", 'false')) = 'true' as _deleted
from stages s
