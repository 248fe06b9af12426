-- Query shapes whose plans must be those of hand-written pgvector queries: the same nodes, indexes and conditions.
-- Read by test_plan_shapes.py. A shape is a name, our query and the same by hand; $1 is a query vector, prepared
-- with a generic plan; :'q' is one as a literal. By hand too a NULL or zero vector must find nothing (the index would return
-- arbitrary rows), so the guard against it stands where the vector is not a literal.
-- near_*_text finds its words in the cache: 'seven' and 'eight'. By hand the vector is a scalar sub-select too, evaluated once.
-- product has 8,000 rows, a brand and a category; sale is partitioned, with a composite key, and its embedding table
-- is partitioned by hash; secret has row-level security.

-- setup
CREATE VIEW shop.like_seven AS
    SELECT p.id, p.name, p.price, n.distance FROM imgvec.near_product_row(7) AS n JOIN shop.product AS p USING (id);
CREATE VIEW shop.like_seven_by_hand WITH (security_invoker) AS
    SELECT p.id, p.name, p.price, e.embedding <=> (SELECT o.embedding FROM imgvec.product_embedding AS o WHERE o.id = 7) AS distance
    FROM imgvec.product_embedding AS e JOIN shop.product AS p USING (id)
    WHERE e.id <> 7 AND EXISTS (SELECT FROM imgvec.product_embedding AS o WHERE o.id = 7);

-- shape: top k
SELECT n.id, n.distance FROM imgvec.near_product(:'q') AS n ORDER BY n.distance LIMIT 10;
-- by hand
SELECT e.id, e.embedding <=> :'q' AS distance FROM imgvec.product_embedding AS e ORDER BY distance LIMIT 10;

-- shape: top k of a prepared statement
SELECT n.id, n.distance FROM imgvec.near_product($1) AS n ORDER BY n.distance LIMIT 10;
-- by hand
SELECT e.id, e.embedding <=> $1 AS distance FROM imgvec.product_embedding AS e WHERE l2_norm($1::halfvec) > 0
ORDER BY distance LIMIT 10;

-- shape: one join
SELECT p.name, n.distance FROM imgvec.near_product(:'q') AS n JOIN shop.product AS p USING (id)
ORDER BY n.distance LIMIT 10;
-- by hand
SELECT p.name, e.embedding <=> :'q' AS distance FROM imgvec.product_embedding AS e JOIN shop.product AS p USING (id)
ORDER BY distance LIMIT 10;

-- shape: one join, the source first
SELECT p.name, n.distance FROM shop.product AS p JOIN imgvec.near_product(:'q') AS n USING (id)
ORDER BY n.distance LIMIT 10;
-- by hand
SELECT p.name, e.embedding <=> :'q' AS distance FROM shop.product AS p JOIN imgvec.product_embedding AS e USING (id)
ORDER BY distance LIMIT 10;

-- shape: two joins
SELECT p.name, b.name, n.distance FROM imgvec.near_product(:'q') AS n JOIN shop.product AS p USING (id)
JOIN shop.brand AS b ON b.id = p.brand_id ORDER BY n.distance LIMIT 10;
-- by hand
SELECT p.name, b.name, e.embedding <=> :'q' AS distance FROM imgvec.product_embedding AS e JOIN shop.product AS p USING (id)
JOIN shop.brand AS b ON b.id = p.brand_id ORDER BY distance LIMIT 10;

-- shape: three joins
SELECT p.name, b.name, c.name, n.distance FROM imgvec.near_product(:'q') AS n JOIN shop.product AS p USING (id)
JOIN shop.brand AS b ON b.id = p.brand_id JOIN shop.category AS c ON c.id = p.category_id
ORDER BY n.distance LIMIT 10;
-- by hand
SELECT p.name, b.name, c.name, e.embedding <=> :'q' AS distance FROM imgvec.product_embedding AS e
JOIN shop.product AS p USING (id) JOIN shop.brand AS b ON b.id = p.brand_id JOIN shop.category AS c ON c.id = p.category_id
ORDER BY distance LIMIT 10;

-- shape: three joins of a prepared statement
SELECT p.name, b.name, c.name, n.distance FROM imgvec.near_product($1) AS n JOIN shop.product AS p USING (id)
JOIN shop.brand AS b ON b.id = p.brand_id JOIN shop.category AS c ON c.id = p.category_id
WHERE p.price < 50 ORDER BY n.distance LIMIT 10;
-- by hand
SELECT p.name, b.name, c.name, e.embedding <=> $1 AS distance FROM imgvec.product_embedding AS e
JOIN shop.product AS p USING (id) JOIN shop.brand AS b ON b.id = p.brand_id JOIN shop.category AS c ON c.id = p.category_id
WHERE p.price < 50 AND l2_norm($1::halfvec) > 0 ORDER BY distance LIMIT 10;

-- shape: filter on the source
SELECT p.name, n.distance FROM imgvec.near_product(:'q') AS n JOIN shop.product AS p USING (id)
WHERE p.price < 50 AND p.in_stock ORDER BY n.distance LIMIT 10;
-- by hand
SELECT p.name, e.embedding <=> :'q' AS distance FROM imgvec.product_embedding AS e JOIN shop.product AS p USING (id)
WHERE p.price < 50 AND p.in_stock ORDER BY distance LIMIT 10;

-- shape: filter on the joined table
SELECT p.name, n.distance FROM imgvec.near_product(:'q') AS n JOIN shop.product AS p USING (id)
JOIN shop.brand AS b ON b.id = p.brand_id WHERE b.name < 'brand 5' ORDER BY n.distance LIMIT 10;
-- by hand
SELECT p.name, e.embedding <=> :'q' AS distance FROM imgvec.product_embedding AS e JOIN shop.product AS p USING (id)
JOIN shop.brand AS b ON b.id = p.brand_id WHERE b.name < 'brand 5' ORDER BY distance LIMIT 10;

-- shape: filter on the key and the distance
SELECT n.id, n.distance FROM imgvec.near_product(:'q') AS n WHERE n.id > 100 AND n.distance < 0.9
ORDER BY n.distance LIMIT 10;
-- by hand
SELECT e.id, e.embedding <=> :'q' AS distance FROM imgvec.product_embedding AS e
WHERE e.id > 100 AND e.embedding <=> :'q' < 0.9 ORDER BY distance LIMIT 10;

-- shape: nearest of each row by LATERAL
SELECT p.id, n.id, n.distance FROM shop.product AS p JOIN imgvec.product_embedding AS q ON q.id = p.id
CROSS JOIN LATERAL (SELECT * FROM imgvec.near_product(q.embedding) AS m ORDER BY m.distance LIMIT 3) AS n
WHERE p.id BETWEEN 1 AND 20;
-- by hand
SELECT p.id, n.id, n.distance FROM shop.product AS p JOIN imgvec.product_embedding AS q ON q.id = p.id
CROSS JOIN LATERAL (
    SELECT e.id, e.embedding <=> q.embedding AS distance FROM imgvec.product_embedding AS e
    WHERE l2_norm(q.embedding) > 0 ORDER BY distance LIMIT 3
) AS n
WHERE p.id BETWEEN 1 AND 20;

-- shape: nearest of each row by LATERAL near_row
SELECT p.id, n.id, n.distance FROM shop.product AS p
CROSS JOIN LATERAL (SELECT * FROM imgvec.near_product_row(p.id) AS m ORDER BY m.distance LIMIT 3) AS n
WHERE p.id BETWEEN 1 AND 20;
-- by hand
SELECT p.id, n.id, n.distance FROM shop.product AS p
CROSS JOIN LATERAL (
    SELECT e.id, e.embedding <=> (SELECT o.embedding FROM imgvec.product_embedding AS o WHERE o.id = p.id) AS distance
    FROM imgvec.product_embedding AS e
    WHERE e.id <> p.id AND EXISTS (SELECT FROM imgvec.product_embedding AS o WHERE o.id = p.id)
    ORDER BY distance LIMIT 3
) AS n
WHERE p.id BETWEEN 1 AND 20;

-- shape: near_row with a literal key
SELECT p.name, n.distance FROM imgvec.near_product_row(7) AS n JOIN shop.product AS p USING (id)
WHERE p.in_stock ORDER BY n.distance LIMIT 10;
-- by hand
SELECT p.name, e.embedding <=> (SELECT o.embedding FROM imgvec.product_embedding AS o WHERE o.id = 7) AS distance
FROM imgvec.product_embedding AS e JOIN shop.product AS p USING (id)
WHERE p.in_stock AND e.id <> 7 AND EXISTS (SELECT FROM imgvec.product_embedding AS o WHERE o.id = 7)
ORDER BY distance LIMIT 10;

-- shape: partitioned source and embedding table
SELECT s.region, s.id, s.price, n.distance FROM imgvec.near_sale(:'q') AS n JOIN shop.sale AS s USING (region, id)
WHERE s.price < 50 ORDER BY n.distance LIMIT 10;
-- by hand
SELECT s.region, s.id, s.price, e.embedding <=> :'q' AS distance
FROM imgvec.sale_embedding AS e JOIN shop.sale AS s USING (region, id)
WHERE s.price < 50 ORDER BY distance LIMIT 10;

-- shape: near_row of a composite key
SELECT n.region, n.id, n.distance FROM imgvec.near_sale_row(2, 7) AS n ORDER BY n.distance LIMIT 10;
-- by hand
SELECT e.region, e.id,
    e.embedding <=> (SELECT o.embedding FROM imgvec.sale_embedding AS o WHERE o.region = 2 AND o.id = 7) AS distance
FROM imgvec.sale_embedding AS e
WHERE NOT (e.region = 2 AND e.id = 7)
  AND EXISTS (SELECT FROM imgvec.sale_embedding AS o WHERE o.region = 2 AND o.id = 7)
ORDER BY distance LIMIT 10;

-- shape: view
SELECT * FROM shop.like_seven WHERE price < 50 ORDER BY distance LIMIT 10;
-- by hand
SELECT * FROM shop.like_seven_by_hand WHERE price < 50 ORDER BY distance LIMIT 10;

-- shape: cursor
DECLARE neighbours CURSOR FOR
SELECT p.name, n.distance FROM imgvec.near_product(:'q') AS n JOIN shop.product AS p USING (id) ORDER BY n.distance;
-- by hand
DECLARE neighbours CURSOR FOR
SELECT p.name, e.embedding <=> :'q' AS distance FROM imgvec.product_embedding AS e JOIN shop.product AS p USING (id)
ORDER BY distance;

-- shape: UNION ALL with inner limits
(SELECT 'product', n.id, n.distance FROM imgvec.near_product(:'q') AS n ORDER BY n.distance LIMIT 5)
UNION ALL
(SELECT 'secret', n.id, n.distance FROM imgvec.near_secret(:'q') AS n ORDER BY n.distance LIMIT 5)
ORDER BY 3;
-- by hand
(SELECT 'product', e.id, e.embedding <=> :'q' AS distance FROM imgvec.product_embedding AS e ORDER BY distance LIMIT 5)
UNION ALL
(SELECT 'secret', e.id, e.embedding <=> :'q' AS distance FROM imgvec.secret_embedding AS e ORDER BY distance LIMIT 5)
ORDER BY 3;

-- shape: row-level security
SELECT n.id, n.distance FROM imgvec.near_secret(:'q') AS n ORDER BY n.distance LIMIT 10;
-- by hand
SELECT e.id, e.embedding <=> :'q' AS distance FROM imgvec.secret_embedding AS e ORDER BY distance LIMIT 10;

-- shape: row-level security and a join, prepared
SELECT s.name, n.distance FROM imgvec.near_secret($1) AS n JOIN shop.secret AS s USING (id)
WHERE s.price < 50 ORDER BY n.distance LIMIT 10;
-- by hand
SELECT s.name, e.embedding <=> $1 AS distance FROM imgvec.secret_embedding AS e JOIN shop.secret AS s USING (id)
WHERE s.price < 50 AND l2_norm($1::halfvec) > 0 ORDER BY distance LIMIT 10;

-- shape: near_text
SELECT n.id, n.distance FROM imgvec.near_product_text('seven') AS n ORDER BY n.distance LIMIT 10;
-- by hand
SELECT e.id, e.embedding <=> (SELECT imgvec.embed_text('product', 'seven')) AS distance
FROM imgvec.product_embedding AS e ORDER BY distance LIMIT 10;

-- shape: near_text with a filter and two joins
SELECT p.name, b.name, n.distance FROM imgvec.near_product_text('seven') AS n JOIN shop.product AS p USING (id)
JOIN shop.brand AS b ON b.id = p.brand_id WHERE p.price < 50 AND p.in_stock ORDER BY n.distance LIMIT 10;
-- by hand
SELECT p.name, b.name, e.embedding <=> (SELECT imgvec.embed_text('product', 'seven')) AS distance
FROM imgvec.product_embedding AS e JOIN shop.product AS p USING (id) JOIN shop.brand AS b ON b.id = p.brand_id
WHERE p.price < 50 AND p.in_stock ORDER BY distance LIMIT 10;

-- shape: near_text prepared with a generic plan
SELECT p.name, n.distance FROM imgvec.near_product_text($2) AS n JOIN shop.product AS p USING (id)
WHERE p.price < 50 AND $1 IS NOT NULL ORDER BY n.distance LIMIT 10;
-- by hand
SELECT p.name, e.embedding <=> (SELECT imgvec.embed_text('product', $2)) AS distance
FROM imgvec.product_embedding AS e JOIN shop.product AS p USING (id)
WHERE p.price < 50 AND $1 IS NOT NULL ORDER BY distance LIMIT 10;

-- shape: near_text of each row by LATERAL
SELECT w.words, n.id, n.distance FROM (VALUES ('seven'), ('eight')) AS w(words)
CROSS JOIN LATERAL (SELECT * FROM imgvec.near_product_text(w.words) AS m ORDER BY m.distance LIMIT 6) AS n;
-- by hand
SELECT w.words, n.id, n.distance FROM (VALUES ('seven'), ('eight')) AS w(words)
CROSS JOIN LATERAL (
    SELECT e.id, e.embedding <=> (SELECT imgvec.embed_text('product', w.words)) AS distance
    FROM imgvec.product_embedding AS e ORDER BY distance LIMIT 6
) AS n;

-- shape: near_text under row-level security
SELECT n.id, n.distance FROM imgvec.near_secret_text('eight') AS n ORDER BY n.distance LIMIT 10;
-- by hand
SELECT e.id, e.embedding <=> (SELECT imgvec.embed_text('secret', 'eight')) AS distance
FROM imgvec.secret_embedding AS e ORDER BY distance LIMIT 10;

-- shape: near_text, partitioned
SELECT s.region, s.id, s.price, n.distance FROM imgvec.near_sale_text('seven') AS n JOIN shop.sale AS s USING (region, id)
WHERE s.price < 50 ORDER BY n.distance LIMIT 10;
-- by hand
SELECT s.region, s.id, s.price, e.embedding <=> (SELECT imgvec.embed_text('sale', 'seven')) AS distance
FROM imgvec.sale_embedding AS e JOIN shop.sale AS s USING (region, id)
WHERE s.price < 50 ORDER BY distance LIMIT 10;

-- shape: near_text in a UNION ALL with inner limits
(SELECT 'product', n.id, n.distance FROM imgvec.near_product_text('seven') AS n ORDER BY n.distance LIMIT 5)
UNION ALL
(SELECT 'secret', n.id, n.distance FROM imgvec.near_secret_text('seven') AS n ORDER BY n.distance LIMIT 5)
ORDER BY 3;
-- by hand
(SELECT 'product', e.id, e.embedding <=> (SELECT imgvec.embed_text('product', 'seven')) AS distance
 FROM imgvec.product_embedding AS e ORDER BY distance LIMIT 5)
UNION ALL
(SELECT 'secret', e.id, e.embedding <=> (SELECT imgvec.embed_text('secret', 'seven')) AS distance
 FROM imgvec.secret_embedding AS e ORDER BY distance LIMIT 5)
ORDER BY 3;

-- shape: an offset
SELECT n.id, n.distance FROM imgvec.near_product(:'q') AS n ORDER BY n.distance OFFSET 5 LIMIT 10;
-- by hand
SELECT e.id, e.embedding <=> :'q' AS distance FROM imgvec.product_embedding AS e ORDER BY distance OFFSET 5 LIMIT 10;

-- shape: similarity outside the limit
SELECT f.id, 1 - f.distance AS similarity FROM (
    SELECT n.id, n.distance FROM imgvec.near_product(:'q') AS n ORDER BY n.distance LIMIT 10
) AS f;
-- by hand
SELECT f.id, 1 - f.distance AS similarity FROM (
    SELECT e.id, e.embedding <=> :'q' AS distance FROM imgvec.product_embedding AS e ORDER BY distance LIMIT 10
) AS f;

-- shape: a count outside the limit
SELECT count(*), min(f.distance), generate_series(1, 10) FROM (
    SELECT n.distance FROM imgvec.near_product(:'q') AS n ORDER BY n.distance LIMIT 10
) AS f;
-- by hand
SELECT count(*), min(f.distance), generate_series(1, 10) FROM (
    SELECT e.embedding <=> :'q' AS distance FROM imgvec.product_embedding AS e ORDER BY distance LIMIT 10
) AS f;

-- shape: a CTE used once
WITH near AS (SELECT * FROM imgvec.near_product(:'q')) SELECT near.id FROM near ORDER BY near.distance LIMIT 10;
-- by hand
WITH near AS (SELECT e.id, e.embedding <=> :'q' AS distance FROM imgvec.product_embedding AS e)
SELECT near.id FROM near ORDER BY near.distance LIMIT 10;

-- shape: a second sort key
SELECT n.id, n.distance FROM imgvec.near_product(:'q') AS n ORDER BY n.distance, n.id LIMIT 10;
-- by hand
SELECT e.id, e.embedding <=> :'q' AS distance FROM imgvec.product_embedding AS e ORDER BY distance, e.id LIMIT 10;

-- shape: the source left joined to the near
SELECT n.id, p.name FROM imgvec.near_product(:'q') AS n LEFT JOIN shop.product AS p USING (id)
ORDER BY n.distance LIMIT 10;
-- by hand
SELECT e.id, p.name FROM imgvec.product_embedding AS e LEFT JOIN shop.product AS p USING (id)
ORDER BY e.embedding <=> :'q' LIMIT 10;

-- shape: a semi-join
SELECT n.id FROM imgvec.near_product(:'q') AS n
WHERE EXISTS (SELECT FROM shop.product AS p WHERE p.id = n.id AND p.price < 80) ORDER BY n.distance LIMIT 10;
-- by hand
SELECT e.id FROM imgvec.product_embedding AS e
WHERE EXISTS (SELECT FROM shop.product AS p WHERE p.id = e.id AND p.price < 80) ORDER BY e.embedding <=> :'q' LIMIT 10;

-- shape: near_row and three joins
SELECT p.name, b.name, c.name, n.distance FROM imgvec.near_product_row(7) AS n JOIN shop.product AS p USING (id)
JOIN shop.brand AS b ON b.id = p.brand_id JOIN shop.category AS c ON c.id = p.category_id
ORDER BY n.distance LIMIT 10;
-- by hand
SELECT p.name, b.name, c.name, e.embedding <=> (SELECT o.embedding FROM imgvec.product_embedding AS o WHERE o.id = 7) AS distance
FROM imgvec.product_embedding AS e JOIN shop.product AS p USING (id)
JOIN shop.brand AS b ON b.id = p.brand_id JOIN shop.category AS c ON c.id = p.category_id
WHERE e.id <> 7 AND EXISTS (SELECT FROM imgvec.product_embedding AS o WHERE o.id = 7)
ORDER BY distance LIMIT 10;

-- shape: row-level security and near_row
SELECT n.id, n.distance FROM imgvec.near_secret_row(7) AS n ORDER BY n.distance LIMIT 10;
-- by hand
SELECT e.id, e.embedding <=> (SELECT o.embedding FROM imgvec.secret_embedding AS o WHERE o.id = 7) AS distance
FROM imgvec.secret_embedding AS e
WHERE e.id <> 7 AND EXISTS (SELECT FROM imgvec.secret_embedding AS o WHERE o.id = 7) ORDER BY distance LIMIT 10;

-- shape: an aggregate of what is near
SELECT f.brand_id, count(*) FROM (
    SELECT p.brand_id FROM imgvec.near_product(:'q') AS n JOIN shop.product AS p USING (id) ORDER BY n.distance LIMIT 60
) AS f GROUP BY f.brand_id ORDER BY f.brand_id;
-- by hand
SELECT f.brand_id, count(*) FROM (
    SELECT p.brand_id FROM imgvec.product_embedding AS e JOIN shop.product AS p USING (id)
    ORDER BY e.embedding <=> :'q' LIMIT 60
) AS f GROUP BY f.brand_id ORDER BY f.brand_id;
