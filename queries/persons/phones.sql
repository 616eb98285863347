-- purpose: the phone numbers of persons, in a session where `persons` has a row for each record
-- parameters: none
-- output: person_id bigint (never 0), phone text (never null), country text (that of the record, else
--   of another record of the person; may be null)
select numbers.person_id, numbers.phone, coalesce(numbers.country, known.country) as country
from persons as numbers
left join (
    select person_id, min(country) as country
    from persons
    where person_id <> 0 and country is not null
    group by person_id
) as known on known.person_id = numbers.person_id
where numbers.person_id <> 0 and numbers.phone is not null
