-- purpose: the time of the last activity of each person, inbound or outbound
-- parameters: none
-- output: person_id bigint, last_activity_at time
select person_id, max(occurred_at) as last_activity_at
from activities
where person_id <> 0
group by person_id
