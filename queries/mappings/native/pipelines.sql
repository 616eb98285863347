-- about: stages of sales pipelines, one row each, in rollbook's own columns; without an external_id, pipeline/stage is the key
-- table: pipelines
-- source: pipelines = pipelines.*|pipelines-*|pipelines_*
-- optional: pipelines.external_id
select * exclude (external_id), coalesce(external_id, pipeline || '/' || stage) as external_id from pipelines
