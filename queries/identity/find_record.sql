-- purpose: the person that a record belongs to
-- parameters: $provider text, $external_id text
-- output: person_id
select person_id
from identities
where provider = $provider and external_id = $external_id and person_id <> 0
