-- purpose: the best customers of each segment, by total spending
-- parameters: $most bigint (persons for each segment)
-- output: segment text, person_id bigint, display_name text, country text, total_spent decimal(19,4)
select segment, person_id, display_name, country, total_spent
from (
    select
        members.segment,
        members.person_id,
        people.display_name,
        people.country,
        people.total_spent,
        row_number() over (
            partition by members.segment
            order by people.total_spent desc, members.person_id
        ) as place
    from segment_members as members
    inner join people on people.person_id = members.person_id
)
where place <= $most
order by segment, place
