-- What the last search for duplicates has not seen: its numbers of rows that are gone, changed or no longer match the condition (alone), and keys,
-- versions, hashes, times and vectors of rows that are new or changed; one snapshot, no order. All rows are joined without their vectors, with
-- which a million would be written to temporary files first; those of the few found are read by their place.
COPY (
    SELECT c.imgvec_number, {e_key}::text, e.version, e.content_hash, e.embedded_at, e.embedding
    FROM (
        SELECT d.imgvec_number, e.imgvec_table, e.imgvec_place
        FROM imgvec.{duplicate_seen_table} AS d
        FULL JOIN (
            SELECT {e_keys}, e.version, e.embedded_at, e.tableoid AS imgvec_table, e.ctid AS imgvec_place
            FROM imgvec.{embedding_table} AS e WHERE {restriction}
        ) AS e ON {e_equals_d} AND e.version = d.version AND e.embedded_at = d.embedded_at
        WHERE d.imgvec_number IS NULL OR e.version IS NULL
        OFFSET 0
    ) AS c
    LEFT JOIN imgvec.{embedding_table} AS e ON e.ctid = c.imgvec_place AND e.tableoid = c.imgvec_table
) TO STDOUT (FORMAT binary)
