-- about: campaigns and their variants, one row each, in rollbook's own columns
-- table: campaigns
-- source: campaigns = campaigns.*|campaigns-*|campaigns_*
select * from campaigns
