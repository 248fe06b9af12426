-- The products whose photos are nearest to a vector, nearest first: how the demo's model is measured.
SELECT n.id
FROM imgvec.near_product_demo(%(vector)s) AS n
ORDER BY n.distance
LIMIT %(k)s;
