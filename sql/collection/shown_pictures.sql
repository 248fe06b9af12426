-- Of each picture in `ranked` (imgvec_picture, imgvec_alone, imgvec_rank) the row to show: of those that match the condition and that the
-- role may see the one with the smallest key, and how many such rows have the picture (imgvec_copies). imgvec_alone is the key of a row
-- whose picture nobody knows (an empty content_hash), which is one by itself; else NULL. Looked for among all rows, as a list of
-- candidates may lack the smallest key; in one join for all pictures, by the index on content_hash or by one scan without it.
(
    SELECT DISTINCT ON (e.content_hash) s.*, b.imgvec_rank, pg_catalog.count(*) OVER (PARTITION BY e.content_hash) AS imgvec_copies
    FROM ranked AS b
    JOIN imgvec.{embedding_table} AS e ON e.content_hash OPERATOR(pg_catalog.=) b.imgvec_picture
    JOIN (SELECT {wanted} FROM {source} WHERE {condition}) AS s ON {e_equals_s}
    WHERE b.imgvec_alone IS NULL AND {e_is_other}
    ORDER BY e.content_hash, {s_keys}
)
UNION ALL
SELECT s.*, b.imgvec_rank, 1
FROM ranked AS b
CROSS JOIN LATERAL pg_catalog.jsonb_to_record(b.imgvec_alone) AS w ({key_definitions})
JOIN (SELECT {wanted} FROM {source} WHERE {condition}) AS s ON {w_equals_s}
WHERE b.imgvec_alone IS NOT NULL
