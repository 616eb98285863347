-- purpose: the e-mail addresses of persons, in a session where `persons` has a row for each record
-- parameters: none
-- output: person_id bigint (never 0), email text (never null), country text (may be null)
select person_id, email, country
from persons
where person_id <> 0 and email is not null
