-- purpose: the values by which persons are compared who are not linked by an exact rule
-- parameters: none
-- output: person_id bigint, the display name, then the fields in the order of the comparison
select
    person_id,
    coalesce(display_name, concat_ws(' ', first_name, last_name)) as name,
    first_name, last_name, cast(date_of_birth as varchar) as date_of_birth,
    address_line1, address_line2, city, region, postal_code, country, email, phone
from people
order by person_id
