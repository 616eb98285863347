-- purpose: what one person is to the business
-- parameters: $person_id bigint
-- output: the columns of roles
select *
from roles
where person_id = $person_id
