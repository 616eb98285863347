-- purpose: the rows in quarantine, in order of file and line
-- parameters: $table text (the table that their mapping fills; null for all)
-- output: table_name, file, line, column_name, value, code, reason, provider, mapping, batch
select
    table_name, file, line, column_name, value, code, reason, provider, mapping, batch
from quarantine
where $table is null or table_name = $table
order by table_name, file, line, column_name
