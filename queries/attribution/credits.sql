-- purpose: credits of each channel by four models, from the journeys before conversions
-- parameters: $currency text (the tenant's currency, may be null), $as_of time, $from time (inclusive,
--   may be null), $to time (exclusive, may be null), $lookback interval, $half_life_micros double
-- output: channel text (null: conversions without a touch), and for each model `<model>_value` bigint (in
--   ten-thousandths of the currency) and `<model>_conversions` bigint (in ten-thousandths of a conversion)
--
-- A conversion is an order that counts as revenue, or a won deal; its touches are the activities with a
-- channel of the same person in (conversion - lookback, conversion]. Credits are differences of rounded
-- cumulated shares, so those of one conversion sum to its value exactly, whatever the weights.
with converted as (
    select
        facts.kind, facts.provider, facts.external_id, facts.person_id, facts.at,
        case
            when facts.amount is null then cast(0 as decimal(19, 4))
            when facts.currency is null or facts.currency = $currency then facts.amount
            else try_cast(facts.amount * rates.rate as decimal(19, 4))
        end as value
    from _sales as facts
    left join _rates as rates
        on rates.day = cast(facts.at as date) and rates.currency = facts.currency
    where facts.at <= $as_of
        and ($from is null or facts.at >= $from)
        and ($to is null or facts.at < $to)
),
conversions as (
    select
        kind, provider, external_id, person_id, at,
        cast(value * 10000 as bigint) as units
    from converted
    where value is not null
),
touches as (
    select person_id, provider, external_id, channel, occurred_at
    from activities
    where channel is not null and person_id <> 0
),
journeys as (
    select
        conversions.kind, conversions.provider, conversions.external_id, conversions.units,
        touches.channel, touches.occurred_at,
        touches.provider as touch_provider, touches.external_id as touch_id,
        last_value(touches.occurred_at) over (
            partition by conversions.kind, conversions.provider, conversions.external_id
            order by touches.occurred_at, touches.provider, touches.external_id
            rows between unbounded preceding and unbounded following
        ) as youngest_at
    from conversions
    left join touches
        on touches.person_id = conversions.person_id
        and touches.occurred_at <= conversions.at
        and touches.occurred_at > conversions.at - $lookback
),
-- Only the ratios of a journey's weights matter. Ages are measured from its latest touch, which has weight
-- 1, so that the weights of an old journey do not all underflow to 0.
weighed as (
    select
        kind, provider, external_id, units, channel, occurred_at, touch_provider, touch_id,
        pow(
            cast(2 as double),
            -cast(cast(youngest_at as bigint) - cast(occurred_at as bigint) as double)
                / $half_life_micros
        ) as weight
    from journeys
),
ranked as (
    select
        channel,
        units,
        cast(row_number() over journey as bigint) as place,
        cast(count(*) over whole as bigint) as places,
        sum(weight) over (
            partition by kind, provider, external_id
            order by occurred_at, touch_provider, touch_id
            rows between unbounded preceding and 1 preceding
        ) as weight_before,
        sum(weight) over (
            partition by kind, provider, external_id
            order by occurred_at, touch_provider, touch_id
            rows between unbounded preceding and current row
        ) as weight_until,
        sum(weight) over whole as weight_of_all
    from weighed
    window
        whole as (partition by kind, provider, external_id),
        journey as (
            partition by kind, provider, external_id
            order by occurred_at, touch_provider, touch_id
        )
),
shares as (
    select
        channel,
        units,
        place,
        places,
        -- units * place / places to the nearest whole number, without leaving the range of bigint.
        units / places * place
            + (2 * (units % places) * place + places) / (2 * places) as linear_until,
        units / places * (place - 1)
            + (2 * (units % places) * (place - 1) + places) / (2 * places) as linear_before,
        (20000 * place + places) / (2 * places) as linear_share_until,
        (20000 * (place - 1) + places) / (2 * places) as linear_share_before,
        coalesce(weight_before / weight_of_all, 0) as share_before,
        -- At the last touch the cumulative share is 1, so the whole value is credited.
        case
            when place = places then 1
            else least(weight_until / weight_of_all, 1)
        end as share_until
    from ranked
)
select
    channel,
    sum(case when place = 1 then units else 0 end) as first_value,
    sum(case when place = 1 then 10000 else 0 end) as first_conversions,
    sum(case when place = places then units else 0 end) as last_value,
    sum(case when place = places then 10000 else 0 end) as last_conversions,
    sum(
        case when place = places then units else linear_until end - linear_before
    ) as linear_value,
    sum(
        case when place = places then 10000 else linear_share_until end - linear_share_before
    ) as linear_conversions,
    sum(
        cast(round(units * share_until) as bigint) - cast(round(units * share_before) as bigint)
    ) as decay_value,
    sum(
        cast(round(10000 * share_until) as bigint) - cast(round(10000 * share_before) as bigint)
    ) as decay_conversions
from shares
group by channel
order by channel
