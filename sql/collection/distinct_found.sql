-- The $2 nearest pictures of those among the candidates, each by the row of it that has the smallest key.
SELECT r.*
FROM (
    SELECT d.*
    FROM (
        SELECT DISTINCT ON (v.imgvec_picture) v.*
        FROM (
            {distinct_candidates}
        ) AS v
        WHERE NOT is_filtered OR {v_key_looked_up}
        ORDER BY v.imgvec_picture, v.distance + 0, {v_keys}
    ) AS d
    ORDER BY d.distance + 0, {d_keys}
    LIMIT $2
) AS d
CROSS JOIN LATERAL (
    (
        SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
        FROM imgvec.{embedding_table} AS e
        WHERE d.imgvec_hash <> '' AND e.content_hash = d.imgvec_hash AND (NOT is_filtered OR {e_key_looked_up})
        ORDER BY {e_keys}
        LIMIT 1
    )
    UNION ALL
    SELECT {d_keys}, d.distance WHERE d.imgvec_hash = ''
) AS r
