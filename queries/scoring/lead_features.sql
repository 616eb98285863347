-- purpose: features, as known at a moment, of persons who have not bought anything until then
-- parameters: $as_of time
-- output: person_id bigint, then the features, double each, none of them null
--
-- The view `_purchases` defines a purchase. Only columns with the time of an event are read, so that events
-- after `$as_of` cannot change a feature.
--
-- A person without a date in any source is known since their earliest fact. A person without any fact
-- either is a candidate at the present moment only, and counts as known for long and inactive since.
with undated as (
    select person_id from persons where person_id <> 0 and created_at is null
),
first_facts as (
    select person_id, min(at) as at
    from (
        select person_id, occurred_at as at from activities
        union all
        select person_id, placed_at as at from orders
        union all
        select person_id, paid_at as at from orders
        union all
        select person_id, created_at as at from deals
        union all
        select person_id, created_at as at from carts
        union all
        select person_id, opened_at as at from tickets
    ) as facts
    where person_id in (select person_id from undated)
    group by person_id
),
leads as (
    select
        known.person_id,
        case
            when known.at is null then 180
            else cast(cast($as_of as bigint) - cast(known.at as bigint) as double) / 86400000000
        end as age
    from (
        select persons.person_id, coalesce(persons.created_at, first_facts.at) as at
        from persons
        left join first_facts on first_facts.person_id = persons.person_id
        where persons.person_id <> 0
    ) as known
    where (known.at <= $as_of or (known.at is null and now() <= $as_of))
        and known.person_id not in (select person_id from _purchases where at <= $as_of)
),
acts as (
    select
        person_id,
        ln(1 + count(*) filter (where type = 'page_viewed')) as page_views,
        ln(1 + count(*) filter (where type like '%pricing%')) as pricing_views,
        ln(1 + count(*) filter (where type = 'email_clicked')) as email_clicks,
        ln(1 + count(*) filter (where type = 'email_opened')) as email_opens,
        ln(1 + count(*) filter (where type like '%form%' or type like '%demo%')) as forms,
        ln(1 + count(*) filter (where type like 'cart%' or type like 'checkout%')) as carts,
        ln(1 + count(distinct cast(occurred_at as date))) as active_days,
        max(occurred_at) as last_at,
        first_value(channel order by occurred_at, provider, external_id) as first_channel
    from activities
    where person_id <> 0
        and occurred_at <= $as_of
        and coalesce(direction, 'inbound') <> 'outbound'
    group by person_id
)
select
    leads.person_id,
    cast(leads.age <= 3 as double) as age_to_3_days,
    cast(leads.age > 3 and leads.age <= 14 as double) as age_to_14_days,
    cast(leads.age > 14 and leads.age <= 30 as double) as age_to_30_days,
    cast(leads.age > 30 and leads.age <= 45 as double) as age_to_45_days,
    cast(leads.age > 45 and leads.age <= 63 as double) as age_to_63_days,
    cast(leads.age > 63 and leads.age <= 120 as double) as age_to_120_days,
    coalesce(acts.page_views, 0) as page_views,
    coalesce(acts.pricing_views, 0) as pricing_views,
    coalesce(acts.email_clicks, 0) as email_clicks,
    coalesce(acts.email_opens, 0) as email_opens,
    coalesce(acts.forms, 0) as forms,
    coalesce(acts.carts, 0) as carts,
    coalesce(acts.active_days, 0) as active_days,
    ln(1 + coalesce(
        cast(cast($as_of as bigint) - cast(acts.last_at as bigint) as double) / 86400000000,
        leads.age
    )) as quiet_days,
    cast(coalesce(acts.first_channel, '') like '%paid%' as double) as came_by_paid,
    cast(coalesce(acts.first_channel, '') = 'email' as double) as came_by_email,
    cast(coalesce(acts.first_channel, '') = 'organic' as double) as came_by_organic,
    cast(coalesce(acts.first_channel, '') = 'referral' as double) as came_by_referral,
    cast(coalesce(acts.first_channel, '') like '%social%' as double) as came_by_social
from leads
left join acts on acts.person_id = leads.person_id
order by leads.person_id
