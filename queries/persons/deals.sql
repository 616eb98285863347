-- purpose: the deals of one person, newest first
-- parameters: $person_id bigint
-- output: one row each
select
    provider, external_id, name, pipeline, stage, status, value, currency, probability,
    created_at, closed_at
from deals
where person_id = $person_id
order by created_at desc, provider, external_id
