SELECT {f_keys}, f.imgvec_distance
    FROM (
        -- OFFSET 0: all of it is computed once a query, not once a row, whatever calls the arguments are.
        SELECT q.query, q.distance,
               -- database/radius_bound.py: no row within the distance lies further away along the axes.
               (pg_catalog.sqrt('2'::pg_catalog.float8 OPERATOR(pg_catalog.*) (q.distance OPERATOR(pg_catalog.+) {product_error}))
                   OPERATOR(pg_catalog.+) {moved}) OPERATOR(pg_catalog.*) {stretch} AS reach,
               (SELECT imgvec.within_place(
                           pg_catalog.array_agg(a.axis OPERATOR({vector}.<#>) q.query ORDER BY a.number), q.norm, pg_catalog.bool_and(a.is_complete))
                FROM imgvec.{axis_table} AS a)::{vector}.halfvec AS place
        FROM (SELECT $1 AS query, {vector}.l2_norm($1) AS norm, imgvec.within_radius({vector}.l2_norm($1), $2) AS distance OFFSET 0) AS q
        OFFSET 0
    ) AS r
    CROSS JOIN imgvec.{coordinate_table} AS c
    -- LATERAL with OFFSET 0: a join would be planned by hash, and read both tables whole.
    CROSS JOIN LATERAL (
        SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) r.query AS imgvec_distance
        FROM imgvec.{embedding_table} AS e WHERE {e_equals_c} OFFSET 0
    ) AS f
    -- As a number: of a comparison by <= PostgreSQL expects a third of all rows, and would compile the plan (jit) for as many look-ups.
    WHERE pg_catalog.int4((c.{coordinates_column} OPERATOR({vector}.<->) r.place) OPERATOR(pg_catalog.<=) r.reach) OPERATOR(pg_catalog.=) 1
      AND f.imgvec_distance OPERATOR(pg_catalog.<=) r.distance
