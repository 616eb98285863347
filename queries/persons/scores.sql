-- purpose: the scores of one person
-- parameters: $person_id bigint
-- output: the columns of scores
select *
from scores
where person_id = $person_id
order by kind
