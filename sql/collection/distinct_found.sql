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
        -- OFFSET 0: while sorts are off PostgreSQL would read the whole primary key in its order rather than sort a few rows.
        FROM (
            SELECT o.* FROM {searched_rows} AS o WHERE d.imgvec_hash <> '' AND o.content_hash = d.imgvec_hash OFFSET 0
        ) AS e
        WHERE NOT is_filtered OR {e_key_looked_up}
        ORDER BY {e_keys}
        LIMIT 1
    )
    UNION ALL
    SELECT {d_keys}, d.distance WHERE d.imgvec_hash = ''
) AS r
