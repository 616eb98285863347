-- purpose: who bought in a window
-- parameters: $from time (exclusive), $until time (inclusive)
-- output: person_id bigint, each once
with bought as (
    select person_id, at
    from (
        select
            person_id,
            coalesce(
                paid_at,
                case
                    when status in (
                        'paid', 'partially_paid', 'fulfilled', 'completed', 'partially_refunded',
                        'refunded'
                    ) then placed_at
                end
            ) as at
        from orders
        union all
        select person_id, closed_at as at
        from deals
        where status = 'won'
    )
    where person_id <> 0 and at is not null
)
select distinct person_id
from bought
where at > $from and at <= $until
