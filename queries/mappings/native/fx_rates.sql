-- about: exchange rates per day and currency, one row each, in rollbook's own columns; without an external_id, day/currency is the key
-- table: fx_rates
-- source: fx_rates = fx_rates.*|fx_rates-*|fx_rates_*
-- optional: fx_rates.external_id
select * exclude (external_id), coalesce(external_id, day || '/' || currency) as external_id from fx_rates
