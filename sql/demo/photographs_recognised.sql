-- Of each alteration: how many photographs are nearest to their own original, among the originals.
SELECT a.altered, count(*) AS photographs, count(*) FILTER (WHERE n.shows = a.shows) AS recognised,
       round(max(n.distance)::numeric, 3) AS farthest
FROM shop.photograph AS a
CROSS JOIN LATERAL (
    SELECT o.shows, n.distance FROM imgvec.near_photograph_lite_row(a.id) AS n
    JOIN shop.photograph AS o USING (id)
    WHERE o.altered = 'as it is'
    ORDER BY n.distance LIMIT 1
) AS n
WHERE a.altered <> 'as it is'
GROUP BY a.altered
ORDER BY a.altered;
