-- purpose: the providers that have rows in quarantine
-- parameters: none
-- output: provider text
select distinct provider
from quarantine
order by provider
