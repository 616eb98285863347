-- purpose: the persons who bought in a window
-- parameters: $from time (exclusive), $until time (inclusive)
-- output: person_id bigint, each once
select distinct person_id
from _purchases
where at > $from and at <= $until
