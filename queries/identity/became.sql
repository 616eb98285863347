-- purpose: the person that now has the records of a person who has none any more
-- parameters: $person_id bigint
-- output: to_person
select to_person
from identity_log
where
    from_person = $person_id
    and not exists (select 1 from identities where identities.person_id = $person_id)
order by at desc, entry_id desc
limit 1
