-- Failed rows of a collection that this role may see, newest first.
SELECT f.key, f.code, f.message, f.attempts, f.failed_at
FROM imgvec.failures AS f
WHERE f.collection = %(collection)s AND (%(codes)s::text[] IS NULL OR f.code = ANY (%(codes)s::text[]))
ORDER BY f.failed_at DESC, f.key
LIMIT %(limit)s;
