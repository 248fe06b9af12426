SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) r.query AS imgvec_distance
    -- OFFSET 0: both are computed once a query, not once a row, whatever calls the arguments are.
    FROM (SELECT $1 AS query, imgvec.within_radius({vector}.l2_norm($1), $2) AS distance OFFSET 0) AS r
    CROSS JOIN imgvec.{embedding_table} AS e
    WHERE (e.embedding OPERATOR({vector}.<=>) r.query) OPERATOR(pg_catalog.<=) r.distance
