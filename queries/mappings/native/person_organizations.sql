-- about: places of persons in organizations, one row each, in our own columns
-- table: person_organizations
-- source: person_organizations = person_organizations.*|person_organizations-*|person_organizations_*
select * from person_organizations
