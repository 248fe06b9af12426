-- Failed rows of a collection, newest first.
SELECT f.key, f.code, f.message, f.attempts, f.failed_at
FROM imgvec.failure AS f
WHERE f.collection_id = %(collection_id)s AND (%(codes)s::text[] IS NULL OR f.code = ANY (%(codes)s::text[]))
ORDER BY f.failed_at DESC, f.key
LIMIT %(limit)s;
