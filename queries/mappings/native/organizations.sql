-- about: organizations, one row each, in our own columns
-- table: organizations
-- source: organizations = organizations.*|organizations-*|organizations_*
select * from organizations
