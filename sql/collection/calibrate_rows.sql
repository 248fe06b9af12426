-- Store the quantiles of the distances of all pairs within a random sample of rows; no row where fewer than two are
-- embedded. Returns the number of pairs.
WITH sample AS MATERIALIZED (
    SELECT row_number() OVER () AS number, drawn.embedding
    FROM (SELECT e.embedding FROM imgvec.{embedding_table} AS e ORDER BY random() LIMIT %(sample)s) AS drawn
), pair AS (
    SELECT a.embedding OPERATOR({vector}.<=>) b.embedding AS distance
    FROM sample AS a JOIN sample AS b ON a.number < b.number
)
INSERT INTO imgvec.calibration AS c (collection_id, pairs_of, percentiles, distances, pair_count)
SELECT {collection_id}, 'rows', %(percentiles)s::float8[],
       percentile_disc(%(fractions)s::float8[]) WITHIN GROUP (ORDER BY pair.distance), count(*)
FROM pair
HAVING count(*) > 0
ON CONFLICT (collection_id, pairs_of) DO UPDATE
    SET percentiles = excluded.percentiles, distances = excluded.distances, pair_count = excluded.pair_count,
        sampled_at = now()
RETURNING c.pair_count;
