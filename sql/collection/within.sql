-- imgvec.within_<collection>(query, max_distance): every embedded row within a cosine distance, 0 to 2, of a vector, in no order: all rows
-- are compared, and none is missed, as an index may. A query that is NULL or zero raises, and so does a distance out of range.
-- STABLE, and inlined into the caller's query, so that NOT EXISTS (SELECT FROM imgvec.within_...) plans as a join.
{create} imgvec.{within}(query {vector}.halfvec, max_distance double precision)
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) r.query
    -- OFFSET 0: both are computed once a query, not once a row, whatever calls the arguments are.
    FROM (SELECT $1 AS query, imgvec.within_radius({vector}.l2_norm($1), $2) AS distance OFFSET 0) AS r
    CROSS JOIN imgvec.{embedding_table} AS e
    WHERE (e.embedding OPERATOR({vector}.<=>) r.query) OPERATOR(pg_catalog.<=) r.distance;
END;
