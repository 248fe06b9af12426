-- Keys, as JSON objects, versions, hashes, times and vectors of embedded rows whose source matches a condition; one snapshot, no order.
COPY (
    SELECT {e_key}::text, e.version, e.content_hash, e.embedded_at, e.embedding
    FROM imgvec.{embedding_table} AS e WHERE {restriction}
) TO STDOUT (FORMAT binary)
