-- about: persons, one row each, in rollbook's own columns; external_id or email is the key
-- table: persons
-- source: persons = persons.*|persons-*|persons_*
select * from persons
