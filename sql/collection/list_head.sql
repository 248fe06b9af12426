-- The rows nearest by the index, for imgvec_pg/store/pictures/bursts.py: how many of %(list_rows)s there are, the distance of the nearest, the share
-- of them that are near copies of the first, and how many distances from it they have, which is at most how many vectors.
-- A look-up by key keeps the index's order, in which the first comes first.
SELECT pg_catalog.count(*), pg_catalog.min(f.distance), pg_catalog.avg((f.apart OPERATOR(pg_catalog.<=) {burst_distance})::pg_catalog.int4)::pg_catalog.float8,
       pg_catalog.count(DISTINCT f.apart)
FROM (
    SELECT n.distance, imgvec.cosine_distance(e.embedding, pg_catalog.first_value(e.embedding) OVER ()) AS apart
    FROM (SELECT c.* FROM {near_call} AS c ORDER BY c.distance LIMIT %(list_rows)s) AS n
    CROSS JOIN LATERAL (SELECT e.embedding FROM imgvec.{embedding_table} AS e WHERE {e_equals_n} OFFSET 0) AS e
) AS f
