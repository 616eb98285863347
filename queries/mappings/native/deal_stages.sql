-- about: moves of deals between stages, one row each, in rollbook's own columns
-- table: deal_stages
-- source: deal_stages = deal_stages.*|deal_stages-*|deal_stages_*
select * from deal_stages
