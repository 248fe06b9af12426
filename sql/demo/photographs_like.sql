-- Photographs like the one in :'file'.
SELECT p.shows, p.altered, round(n.distance::numeric, 3) AS distance
FROM shop.photograph AS asked
CROSS JOIN LATERAL (
    SELECT n.id, n.distance FROM imgvec.near_photograph_lite_row(asked.id) AS n ORDER BY n.distance LIMIT 8
) AS n
JOIN shop.photograph AS p ON p.id = n.id
WHERE asked.file = :'file'
ORDER BY n.distance;
