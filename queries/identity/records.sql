-- purpose: the person that each record belongs to
-- parameters: none
-- output: identity_id bigint, person_id bigint
select identity_id, person_id
from identities
where person_id <> 0
