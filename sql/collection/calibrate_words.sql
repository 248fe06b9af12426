-- Store the quantiles of the distances of cached texts and a random sample of rows; no row where fewer than
-- "fewest" texts are cached or no row is embedded. Returns the number of pairs.
WITH drawn_text AS MATERIALIZED (
    SELECT t.embedding FROM imgvec.text_embedding AS t
    WHERE t.model_id = (SELECT c.model_id FROM imgvec.collection AS c WHERE c.id = {collection_id})
    ORDER BY random() LIMIT 1000
), drawn_row AS MATERIALIZED (
    SELECT e.embedding FROM imgvec.{embedding_table} AS e ORDER BY random() LIMIT %(sample)s
), pair AS (
    SELECT t.embedding OPERATOR({vector}.<=>) r.embedding AS distance FROM drawn_text AS t CROSS JOIN drawn_row AS r
)
INSERT INTO imgvec.calibration AS c (collection_id, pairs_of, percentiles, distances, pair_count)
SELECT {collection_id}, 'words', %(percentiles)s::float8[],
       percentile_disc(%(fractions)s::float8[]) WITHIN GROUP (ORDER BY pair.distance), count(*)
FROM pair
HAVING count(*) > 0 AND (SELECT count(*) FROM drawn_text) >= %(fewest)s
ON CONFLICT (collection_id, pairs_of) DO UPDATE
    SET percentiles = excluded.percentiles, distances = excluded.distances, pair_count = excluded.pair_count,
        sampled_at = now()
RETURNING c.pair_count;
