-- Of the next pictures after a hash, remove those that no row has any more; gives how many, the last hash looked at (null for none).
-- Under pg_try_advisory_xact_lock(1768777079, collection), taken in a statement of its own: this one must see what writers committed before.
WITH looked AS MATERIALIZED (
    SELECT p.content_hash FROM imgvec.{picture_table} AS p
    WHERE p.content_hash > %(after)s ORDER BY p.content_hash LIMIT %(most)s
), gone AS (
    DELETE FROM imgvec.{picture_table} AS p
    WHERE p.content_hash IN (SELECT l.content_hash FROM looked AS l)
      AND NOT EXISTS (SELECT FROM imgvec.{embedding_table} AS e
                      WHERE e.content_hash = p.content_hash AND NOT {vector}.halfvec_ne(e.embedding, p.embedding))
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone), (SELECT l.content_hash FROM looked AS l ORDER BY l.content_hash DESC LIMIT 1);
