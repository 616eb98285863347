-- about: lines of orders; an order starts with the row that has its Id, and continues in rows with the same Name
-- table: order_lines
-- source: orders = orders_export*
-- optional: orders."Id", orders."Currency", orders."Lineitem sku", orders."Lineitem discount"
-- optional: orders."Phone", orders."Billing Phone", orders."Billing Country"
select
    o._file,
    o._line,
    -- If the export has an order twice, its lines have the same keys twice, and are deduplicated.
    o.order_id || '/' || o.position as external_id,
    o.order_id,
    o.person_email,
    o.person_phone,
    o.person_country,
    o.position as line,
    o."Lineitem sku" as sku,
    o."Lineitem name" as title,
    o."Lineitem quantity" as quantity,
    o."Lineitem price" as unit_price,
    o."Lineitem discount" as discount,
    try_cast(o."Lineitem quantity" as decimal(19, 4))
        * try_cast(o."Lineitem price" as decimal(19, 4))
        - coalesce(try_cast(o."Lineitem discount" as decimal(19, 4)), 0) as total,
    o.currency,
    o."Created at" as placed_at
from (
    select
        r.*,
        max(r.key) over (partition by r._file, r."Name", r.occurrence) as order_id,
        max(r."Email") over (partition by r._file, r."Name", r.occurrence) as person_email,
        max(ltrim(coalesce(r."Phone", r."Billing Phone"), '''')) over (
            partition by r._file, r."Name", r.occurrence
        ) as person_phone,
        max(r."Billing Country") over (
            partition by r._file, r."Name", r.occurrence
        ) as person_country,
        max(r."Currency") over (partition by r._file, r."Name", r.occurrence) as currency,
        row_number() over (
            partition by r._file, r."Name", r.occurrence order by r._line
        ) as position
    from (
        select
            s.*,
            case
                when s."Id" is not null then s."Id"
                when s."Financial Status" is not null then s."Name"
            end as key,
            -- Rows with a Name belong to the last start of an order above them.
            count(coalesce(s."Id", s."Financial Status")) over (
                partition by s._file, s."Name" order by s._line
            ) as occurrence
        from orders s
    ) r
) o
