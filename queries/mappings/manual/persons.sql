-- about: persons that somebody keeps by hand, in our own columns
-- table: persons
-- source: persons = persons.*|persons-*|persons_*
select * from persons
