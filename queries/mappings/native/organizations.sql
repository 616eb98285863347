-- about: organizations, one row each, in rollbook's own columns
-- table: organizations
-- source: organizations = organizations.*|organizations-*|organizations_*
select * from organizations
