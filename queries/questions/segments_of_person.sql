-- purpose: the segments that one person belongs to
-- parameters: $person_id bigint
-- output: segment text
select segment
from segment_members
where person_id = $person_id
order by segment
