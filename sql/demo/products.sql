-- Add the products that are missing; one statement, so that imgvec's triggers file one set of jobs.
INSERT INTO shop.product (id, name, category, price, in_stock, supplier_id, photo_path)
SELECT p.id, p.name, p.category, p.price, p.in_stock, p.supplier_id, p.photo_path
FROM jsonb_to_recordset(%(products)s::jsonb)
    AS p(id bigint, name text, category text, price numeric, in_stock boolean, supplier_id integer, photo_path text)
ON CONFLICT (id) DO NOTHING;
