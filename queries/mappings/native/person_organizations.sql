-- about: memberships of persons in organizations, one row each, in rollbook's own columns
-- table: person_organizations
-- source: person_organizations = person_organizations.*|person_organizations-*|person_organizations_*
select * from person_organizations
