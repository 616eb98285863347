-- purpose: the row of `people` of one person
-- parameters: $person_id bigint
-- output: the columns of `people`
select *
from people
where person_id = $person_id
