-- purpose: the rows that could not be taken in, in order of their places
-- parameters: $table text (the table they were meant for; null for all)
-- output: table_name, file, line, column_name, value, code, reason, provider, mapping, batch
select
    table_name, file, line, column_name, value, code, reason, provider, mapping, batch
from quarantine
where $table is null or table_name = $table
order by table_name, file, line, column_name
