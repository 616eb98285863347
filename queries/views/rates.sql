-- purpose: the rate at which amounts of a currency are converted on a day in the tenant's time zone
-- parameters: $fx_days bigint (days for which a rate stays valid without a newer one, at most 31)
-- output: day date, currency text, rate decimal(18,10) (null if it is too large to convert with), age
--   bigint (its age in days)
--
-- A day without a rate has that of the last earlier day that has one, up to `$fx_days` days later.
with given as (
    select day, currency, try_cast(max(rate) as decimal(18, 10)) as rate
    from fx_rates
    group by day, currency
),
followed as (
    select
        cast(day as integer) as day, currency, rate,
        cast(lead(day) over (partition by currency order by day) as integer) as next_day
    from given
),
ages as (
    select age
    from (values
        (0), (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), (13), (14), (15), (16),
        (17), (18), (19), (20), (21), (22), (23), (24), (25), (26), (27), (28), (29), (30), (31)
    ) as days (age)
    where age <= $fx_days
),
-- No number of rates reaches this limit. It keeps the condition out of the join, so that the planner knows
-- the size of the rates: it builds the smaller side of a join in memory, which should be the rates.
aged as (
    select followed.day, followed.currency, followed.rate, followed.next_day, ages.age
    from followed
    cross join ages
    limit 1000000000
)
select cast(day + age as date) as day, currency, rate, age
from aged
where next_day is null or day + age < next_day
