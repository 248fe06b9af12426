-- Of each picture in `ranked` (imgvec_picture, imgvec_alone, imgvec_rank) the row to show: of those that match the condition and that the
-- role may see the one with the smallest key, and how many such rows have the picture (imgvec_copies). imgvec_alone is the key of a row
-- whose picture nobody knows (an empty content_hash), which is one by itself; else NULL. Looked for among all rows, as a list of
-- candidates may lack the smallest key: picture by picture where the index on content_hash is there and {fence} is OFFSET 0 (where sorts are
-- off, as in a scan of the HNSW index, PostgreSQL would read that whole index rather than sort ten rows), else in one scan for all.
(
    SELECT DISTINCT ON (e.content_hash) s.*, b.imgvec_rank, pg_catalog.count(*) OVER (PARTITION BY e.content_hash) AS imgvec_copies
    FROM ranked AS b
    CROSS JOIN LATERAL (
        SELECT {e_keys}, e.content_hash FROM imgvec.{embedding_table} AS e
        WHERE e.content_hash OPERATOR(pg_catalog.=) b.imgvec_picture AND {e_is_other}
        {fence}
    ) AS e
    JOIN (SELECT {wanted} FROM {source} WHERE {condition}) AS s ON {e_equals_s}
    WHERE b.imgvec_alone IS NULL
    ORDER BY e.content_hash, {s_keys}
)
UNION ALL
SELECT s.*, b.imgvec_rank, 1
FROM ranked AS b
CROSS JOIN LATERAL pg_catalog.jsonb_to_record(b.imgvec_alone) AS w ({key_definitions})
JOIN (SELECT {wanted} FROM {source} WHERE {condition}) AS s ON {w_equals_s}
WHERE b.imgvec_alone IS NOT NULL
