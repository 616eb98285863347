-- purpose: custom objects in their current state
-- parameters: none
-- output: the columns of objects, at time (never null)
select *, created_at as at
from objects
