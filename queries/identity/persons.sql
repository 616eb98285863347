-- purpose: the number of persons
-- parameters: none
-- output: persons
select count(distinct person_id) as persons
from identities
where person_id <> 0
