-- A part of a collection for an export, in key order: key columns, hash of the bytes, hash of the reference, vector, then columns of the
-- source, all as text but the hashes and the vector.
COPY (
    SELECT {texts_of_key}, e.content_hash, e.reference_hash, e.embedding {columns}
    FROM imgvec.{embedding_table} AS e {join}
    {behind}
    ORDER BY {e_keys} LIMIT {part_rows}
) TO STDOUT (FORMAT binary)
