-- about: invoices of QuickBooks Online; one with a balance of 0 is paid
-- table: orders
-- source: invoices = invoice*
-- optional: invoices."CurrencyRef.value", invoices."Balance", invoices."DocNumber"
-- optional: invoices."MetaData.LastUpdatedTime"
select
    i."Id" as external_id,
    i."CustomerRef.value" as person_external_id,
    case when try_cast(i."Balance" as decimal(19, 4)) = 0 then 'paid' else 'pending' end as status,
    i."CurrencyRef.value" as currency,
    i."TotalAmt" as total,
    i."TxnDate" as placed_at,
    case
        when try_cast(i."Balance" as decimal(19, 4)) = 0
            then coalesce(i."MetaData.LastUpdatedTime", i."TxnDate")
    end as paid_at,
    i."DocNumber" as source_name
from invoices i
