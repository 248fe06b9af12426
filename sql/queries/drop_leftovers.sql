-- Delete what find_leftovers.sql finds.
WITH jobs AS (
    DELETE FROM imgvec.job AS j WHERE NOT EXISTS (SELECT FROM imgvec.collection AS c WHERE c.id = j.collection_id) RETURNING 1
), failures AS (
    DELETE FROM imgvec.failure AS f WHERE NOT EXISTS (SELECT FROM imgvec.collection AS c WHERE c.id = f.collection_id) RETURNING 1
)
SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM failures);
