-- purpose: the number of open support requests of each person
-- parameters: $as_of time
-- output: person_id bigint, open_ticket_count bigint (never null)
--
-- A ticket closed after `$as_of` is still open; one without `closed_at` is open unless its status
-- says that it is solved or closed.
select
    person_id,
    count(*) filter (
        where closed_at > $as_of
            or (closed_at is null and coalesce(status not in ('solved', 'closed'), true))
    ) as open_ticket_count
from tickets
where person_id <> 0
group by person_id
