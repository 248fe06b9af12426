-- Enqueue failed keys again at the version that failed, each alone, and forget the failure. Codes null: all.
WITH again AS (
    DELETE FROM imgvec.failure
    WHERE collection_id = %(collection_id)s AND (%(codes)s::text[] IS NULL OR code = ANY (%(codes)s::text[]))
    RETURNING collection_id, key, version
), enqueued AS (
    INSERT INTO imgvec.job (collection_id, version, keys)
    SELECT collection_id, version, pg_catalog.jsonb_build_array(key) FROM again
    RETURNING 1
)
SELECT count(*) FROM enqueued;
