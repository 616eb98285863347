-- about: changes of the status of orders, one row each, in rollbook's own columns
-- table: order_status_history
-- source: order_status_history = order_status_history.*|order_status_history-*|order_status_history_*
select * from order_status_history
