-- purpose: the persons that meet a segment's criteria; the `true` below gives way to them
-- parameters: none
-- output: person_id bigint
select people.person_id
from people
where true
