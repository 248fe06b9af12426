-- Demo question 5, second half. :'words' are words.
SELECT p.id, p.name, p.price, round(n.distance::numeric, 3) AS distance
FROM imgvec.near_product_demo_text(:'words') AS n
JOIN shop.product AS p USING (id)
ORDER BY n.distance
LIMIT 5;
