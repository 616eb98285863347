-- about: spend per campaign and day, one row each, in rollbook's own columns; without an external_id, campaign/day is the key
-- table: campaign_spend
-- source: campaign_spend = campaign_spend.*|campaign_spend-*|campaign_spend_*
-- optional: campaign_spend.external_id
select * exclude (external_id), coalesce(external_id, campaign_id || '/' || day) as external_id from campaign_spend
