-- Delete the embeddings of one page, behind %(after)s in the key's order, that have no row in the source. Returns the last key
-- looked at (null at the end), the embeddings looked at and those deleted. One that is written meanwhile stays.
WITH page AS MATERIALIZED (
    SELECT {e_keys}, e.version AS imgvec_version, {e_key} AS imgvec_key FROM imgvec.{embedding_table} AS e
    {after_condition}
    ORDER BY {e_keys}
    LIMIT %(page_size)s
), gone AS (
    DELETE FROM imgvec.{embedding_table} AS e USING page AS p
    WHERE {e_equals_p} AND e.version = p.imgvec_version AND NOT EXISTS (SELECT FROM {source} AS s WHERE {p_equals_s})
    RETURNING 1
)
SELECT (SELECT p.imgvec_key FROM page AS p ORDER BY {p_keys_descending} LIMIT 1) AS last_key,
       (SELECT count(*) FROM page) AS looked_at, (SELECT count(*) FROM gone) AS deleted;
