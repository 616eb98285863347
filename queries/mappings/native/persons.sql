-- about: persons, one row each, in our own columns; external_id or email names them
-- table: persons
-- source: persons = persons.*|persons-*|persons_*
select * from persons
