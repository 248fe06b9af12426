-- Demo question 2. :'words' are words.
SELECT p.name, p.price, s.name AS supplier, s.delivery_days AS days,
       round(n.distance::numeric, 3) AS distance
FROM imgvec.near_product_demo_text(:'words') AS n
JOIN shop.product AS p USING (id)
JOIN shop.supplier AS s ON s.id = p.supplier_id
WHERE p.price < 5 AND p.in_stock AND s.delivery_days <= 3
ORDER BY n.distance
LIMIT 4;
