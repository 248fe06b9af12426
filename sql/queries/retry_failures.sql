-- Enqueue failed keys again at the version that failed, each alone, and forget the failure. Codes null: all but notes, which
-- are no failures (sql/tables/failure.sql).
WITH again AS (
    DELETE FROM imgvec.failure
    WHERE collection_id = %(collection_id)s AND CASE WHEN %(codes)s::text[] IS NULL THEN code NOT IN ('no_image', 'blank', 'noted') ELSE code = ANY (%(codes)s::text[]) END
    RETURNING collection_id, key, version
), enqueued AS (
    INSERT INTO imgvec.job (collection_id, version, keys)
    SELECT collection_id, version, pg_catalog.jsonb_build_array(key) FROM again
    RETURNING 1
)
SELECT count(*) FROM enqueued;
