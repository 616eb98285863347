-- purpose: the records of one person
-- parameters: $person_id bigint
-- output: identity_id, provider, external_id, first_seen_at, last_seen_at
select identity_id, provider, external_id, first_seen_at, last_seen_at
from identities
where person_id = $person_id
order by provider, external_id
