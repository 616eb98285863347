-- about: products, with the category in English where a translation is known
-- table: products
-- source: products = *products_dataset*
-- source: translation? = *product_category_name_translation*
-- optional: translation.product_category_name, translation.product_category_name_english
-- optional: products.product_name_lenght, products.product_description_lenght
-- optional: products.product_photos_qty, products.product_weight_g, products.product_length_cm
-- optional: products.product_height_cm, products.product_width_cm
select
    p.product_id as external_id,
    -- Without the file of translations, the known translation is kept.
    case when t.english is null then p.product_category_name else t.english end as category,
    json_object(
        'category_in_source', p.product_category_name,
        'name_length', p.product_name_lenght,
        'description_length', p.product_description_lenght,
        'photos', p.product_photos_qty,
        'weight_g', p.product_weight_g,
        'length_cm', p.product_length_cm,
        'height_cm', p.product_height_cm,
        'width_cm', p.product_width_cm
    ) as properties
from products p
left join (
    select product_category_name, max(product_category_name_english) as english
    from translation
    group by product_category_name
) t on t.product_category_name = p.product_category_name
