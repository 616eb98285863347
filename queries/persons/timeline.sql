-- purpose: the events of one person, newest first
-- parameters: $person_id bigint, $type text (null for all), $after bigint and $until bigint (positions, from 1)
-- output: place, at, type, what, amount, currency, provider, external_id
with events as (
    select
        placed_at as at, 'order' as kind, status as what, total as amount, currency, provider, external_id
    from orders
    where person_id = $person_id
    union all
    select refunded_at, 'refund', order_id, amount, currency, provider, external_id
    from refunds
    where person_id = $person_id
    union all
    select created_at, 'deal', coalesce(name, status), value, currency, provider, external_id
    from deals
    where person_id = $person_id
    union all
    select
        changed_at, 'deal_stage', to_stage, cast(null as decimal(19, 4)), cast(null as text), provider,
        external_id
    from deal_stages
    where person_id = $person_id
    union all
    select
        occurred_at, 'activity', activities.type, cast(null as decimal(19, 4)), cast(null as text), provider, external_id
    from activities
    where person_id = $person_id
    union all
    select
        opened_at, 'ticket', coalesce(category, status), cast(null as decimal(19, 4)), cast(null as text),
        provider, external_id
    from tickets
    where person_id = $person_id
    union all
    select
        at, 'identity', concat_ws(' by ', action, rule), cast(null as decimal(19, 4)), cast(null as text), 'rollbook', entry_id
    from identity_log
    where to_person = $person_id or from_person = $person_id
),
placed as (
    select
        row_number() over (order by at desc nulls last, kind, provider, external_id) as place,
        *
    from events
    where $type is null or kind = $type
)
select place, at, kind as type, what, amount, currency, provider, external_id
from placed
where place > $after and place <= $until
order by place
