-- purpose: the value of each person's open and won deals, in the tenant's currency
-- parameters: $currency text (the tenant's currency, may be null), $as_of time
-- output: person_id bigint, open_deal_count bigint (never null), open_deal_value decimal(29,4) (never
--   null), won_deal_value decimal(29,4) (never null), unconverted_deal_count bigint (never null; open
--   and won deals left out of the sums because `fx_rates` has no rate)
--
-- A deal closed after `$as_of` is still open. A deal won without `closed_at` counts as won from
-- `created_at`. Values are converted at the rate of the day on which the deal was won or, while
-- it is open, created.
with standing as (
    select
        person_id,
        value,
        currency,
        status = 'open' or coalesce(closed_at > $as_of, false) as is_open,
        status = 'won' and coalesce(closed_at, created_at) <= $as_of as is_won,
        cast(
            case
                when status = 'won' and closed_at <= $as_of then closed_at
                else created_at
            end as date
        ) as day
    from deals
    where person_id <> 0
),
converted as (
    select
        standing.person_id,
        standing.is_open,
        standing.is_won,
        standing.value,
        case
            when standing.currency is null or standing.currency = $currency then standing.value
            else try_cast(standing.value * rates.rate as decimal(19, 4))
        end as converted
    from standing
    left join _rates as rates
        on rates.day = standing.day and rates.currency = standing.currency
)
select
    person_id,
    count(*) filter (where is_open) as open_deal_count,
    cast(coalesce(sum(converted) filter (where is_open), 0) as decimal(29, 4)) as open_deal_value,
    cast(coalesce(sum(converted) filter (where is_won), 0) as decimal(29, 4)) as won_deal_value,
    count(*) filter (
        where (is_open or is_won) and value is not null and converted is null
    ) as unconverted_deal_count
from converted
group by person_id
