-- How many rows all shards have, how many keys more than one of them has, and some of these.
WITH of_each AS (
    SELECT {keys}, pg_catalog.count(*) AS imgvec_rows, pg_catalog.array_agg(s.imgvec_shard ORDER BY s.imgvec_shard) AS imgvec_shards
    FROM ({of_each}) AS s
    GROUP BY {keys}
)
SELECT (SELECT coalesce(pg_catalog.sum(u.imgvec_rows), 0)::bigint FROM of_each AS u),
       (SELECT pg_catalog.count(*) FROM of_each AS u WHERE u.imgvec_rows > 1),
       (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('key', u.imgvec_key, 'shards', u.imgvec_shards) ORDER BY u.imgvec_key)
        FROM (SELECT {key_object} AS imgvec_key, u.imgvec_shards FROM of_each AS u WHERE u.imgvec_rows > 1 LIMIT {examples}) AS u);
