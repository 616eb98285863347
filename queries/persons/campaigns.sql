-- purpose: the campaigns that one person interacted with, newest first
-- parameters: $person_id bigint
-- output: provider, campaign_id, name and channel if the campaign is known, the number of activities, and
--   the times of the first and the last
select
    a.provider, a.campaign_id, max(c.name) as name, max(coalesce(c.channel, a.channel)) as channel,
    count(*) as activities, min(a.occurred_at) as first_at, max(a.occurred_at) as last_at
from activities a
left join campaigns c on c.external_id = a.campaign_id and c.provider = a.provider
where a.person_id = $person_id and a.campaign_id is not null
group by a.provider, a.campaign_id
order by last_at desc, a.provider, a.campaign_id
