-- purpose: the roles of one person, such as customer or lead
-- parameters: $person_id bigint
-- output: the columns of roles
select *
from roles
where person_id = $person_id
