-- about: persons maintained by hand, in rollbook's own columns
-- table: persons
-- source: persons = persons.*|persons-*|persons_*
select * from persons
