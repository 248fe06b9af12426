-- A part of a collection for an export, of a range of keys and in their order: key columns, hash of the bytes, hash of the reference, vector,
-- then columns of the source, all as text but the hashes and the vector.
COPY (
    SELECT {texts_of_key}, e.content_hash, e.reference_hash, e.embedding {columns}
    FROM imgvec.{embedding_table} AS e {join}
    {of_range}
    ORDER BY {e_keys}
) TO STDOUT (FORMAT binary)
