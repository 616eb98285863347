-- purpose: the one rate by which amounts of a currency are converted on a UTC day
-- parameters: none
-- output: day date, currency text, rate decimal(18,10)
select day, currency, cast(max(rate) as decimal(18, 10)) as rate
from fx_rates
group by day, currency
