-- File jobs, with version 0, for one page of source rows that have an image and neither an embedding nor a
-- failure, and return the last key looked at (null at the end), the rows looked at and the keys filed.
WITH page AS MATERIALIZED (
    SELECT {s_keys}, {s_key} AS imgvec_key, {s_has_image} AS imgvec_has_image
    FROM {source} AS s
    {after_condition}
    ORDER BY {s_keys}
    LIMIT %(page_size)s
), queued AS MATERIALIZED (
    SELECT jsonb_array_elements(j.keys) AS key FROM imgvec.job AS j
    WHERE j.collection_id = {collection_id} AND %(skip_queued)s
), missing AS (
    SELECT p.imgvec_key AS key, (row_number() OVER () - 1) / {keys_per_job} AS slice
    FROM page AS p
    WHERE p.imgvec_has_image
      AND NOT EXISTS (SELECT FROM imgvec.{embedding_table} AS e WHERE {e_equals_p})
      AND NOT EXISTS (SELECT FROM imgvec.failure AS f WHERE f.collection_id = {collection_id} AND f.key = p.imgvec_key)
      AND NOT EXISTS (SELECT FROM queued AS q WHERE q.key = p.imgvec_key)
), filed AS (
    INSERT INTO imgvec.job (collection_id, version, keys)
    SELECT {collection_id}, 0, jsonb_agg(m.key) FROM missing AS m GROUP BY m.slice
    RETURNING jsonb_array_length(keys) AS key_count
)
SELECT (SELECT p.imgvec_key FROM page AS p ORDER BY {p_keys_descending} LIMIT 1) AS last_key,
       (SELECT count(*) FROM page) AS looked_at,
       (SELECT coalesce(sum(key_count), 0) FROM filed)::bigint AS filed;
