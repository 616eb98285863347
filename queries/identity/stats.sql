-- purpose: the number of records and of persons of each provider
-- parameters: none
-- output: provider, records, persons, not_linked
select
    provider,
    count(*) as records,
    count(distinct case when person_id <> 0 then person_id end) as persons,
    count(*) filter (where person_id = 0) as not_linked
from identities
group by provider
order by provider
