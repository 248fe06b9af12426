-- The $2 nearest pictures of all that match, each by the row of it that has the smallest key.
ELSIF $4 AND NOT is_filtered THEN
    RETURN QUERY
    SELECT r.*
    FROM (
        SELECT {d_keys}, d.distance
        FROM (
            SELECT DISTINCT ON (imgvec_picture)
                   {e_keys}, {picture_of} AS imgvec_picture, e.embedding OPERATOR({vector}.<=>) $1 AS distance
            FROM {searched_rows} AS e
            ORDER BY imgvec_picture, {e_keys}
        ) AS d
    ) AS r
    ORDER BY r.distance + 0, {r_keys}
    LIMIT $2;
ELSIF $4 THEN
    RETURN QUERY
    SELECT r.*
    FROM (
        SELECT {d_keys}, d.distance
        FROM (
            SELECT DISTINCT ON (imgvec_picture)
                   {e_keys}, {picture_of} AS imgvec_picture, e.embedding OPERATOR({vector}.<=>) $1 AS distance
            FROM {searched_rows} AS e
            WHERE {e_key_among}
            ORDER BY imgvec_picture, {e_keys}
        ) AS d
    ) AS r
    ORDER BY r.distance + 0, {r_keys}
    LIMIT $2;
