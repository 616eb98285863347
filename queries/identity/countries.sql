-- purpose: the countries that persons are in
-- parameters: none
-- output: country text (two letters), each once
select distinct country
from persons
where person_id <> 0 and character_length(country) = 2
order by country
