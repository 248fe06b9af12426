-- Demo question 4: a nearest-neighbour search for each row of another query.
SELECT gone.name AS sold_out, other.name AS instead, other.price,
       round(other.distance::numeric, 3) AS distance
FROM (
    SELECT id, name FROM shop.product
    WHERE category = 'Flags' AND NOT in_stock
    ORDER BY price DESC, id
    LIMIT 4
) AS gone
CROSS JOIN LATERAL (
    SELECT p.name, p.price, n.distance
    FROM imgvec.near_product_demo_row(gone.id) AS n
    JOIN shop.product AS p USING (id)
    WHERE p.in_stock
    ORDER BY n.distance
    LIMIT 2
) AS other
ORDER BY gone.name, other.distance;
