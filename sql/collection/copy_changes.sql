-- What the last search for duplicates has not seen: its numbers of rows that are gone, changed or no longer match the condition (alone), and keys,
-- versions, hashes, times and vectors of rows that are new or changed; one snapshot, no order.
COPY (
    SELECT d.imgvec_number, e.key_text, e.version, e.content_hash, e.embedded_at, e.embedding
    FROM imgvec.{duplicate_seen_table} AS d
    FULL JOIN (
        SELECT e.*, {e_key}::text AS key_text FROM imgvec.{embedding_table} AS e WHERE {restriction}
    ) AS e ON {e_equals_d} AND e.version = d.version AND e.embedded_at = d.embedded_at
    WHERE d.imgvec_number IS NULL OR e.version IS NULL
) TO STDOUT (FORMAT binary)
