-- Demo question 3. :id is the key of a product.
SELECT p.name, p.category, p.price, round(n.distance::numeric, 3) AS distance
FROM imgvec.near_product_demo_row(:id) AS n
JOIN shop.product AS p USING (id)
ORDER BY n.distance
LIMIT 5;
