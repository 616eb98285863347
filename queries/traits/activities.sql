-- purpose: when each person last did something, or was last reached
-- parameters: none
-- output: person_id bigint, last_activity_at time
select person_id, max(occurred_at) as last_activity_at
from activities
where person_id <> 0
group by person_id
