-- purpose: the persons that meet a segment's criteria, which replace the `true` below
-- parameters: none
-- output: person_id bigint
select people.person_id
from people
where true
