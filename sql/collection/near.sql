-- imgvec.near_<collection>(query): each embedded row with its cosine distance, 0 to 2, lower is nearer.
-- STABLE, and inlined into the caller's query: no ORDER BY, LIMIT or SET may stand in here.
{create} imgvec.{near}(query {vector}.halfvec)
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- PostgreSQL reads this body for each query that it plans: few words, no cast (benchmarks/results/planning.txt).
    SELECT {near_keys}, {near_embedding} OPERATOR({vector}.<=>) query
    FROM {near_rows}
    -- A NULL query, or a zero one, would let the index return arbitrary rows.
    WHERE {vector}.l2_norm(query) OPERATOR(pg_catalog.>) '0'::pg_catalog.float8;
END;
