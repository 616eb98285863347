-- purpose: the support requests of one person, newest first
-- parameters: $person_id bigint
-- output: one row each
select provider, external_id, status, priority, category, opened_at, closed_at, satisfaction
from tickets
where person_id = $person_id
order by opened_at desc, provider, external_id
