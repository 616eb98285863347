-- purpose: tickets in their current state
-- parameters: none
-- output: the columns of tickets, at time
select *, opened_at as at
from tickets
