-- purpose: the content of a record that waits for a decision
-- parameters: $identity_id bigint
-- output: the columns of `persons`
select *
from persons
where person_id = 0 and identity_id = $identity_id
