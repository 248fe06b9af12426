-- Demo question 1. :'words' are words.
SELECT p.name, p.category, p.price, round(n.distance::numeric, 3) AS distance
FROM imgvec.near_product_demo_text(:'words') AS n
JOIN shop.product AS p USING (id)
ORDER BY n.distance
LIMIT 5;
