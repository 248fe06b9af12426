-- imgvec.within_<collection>(query, max_distance): every embedded row within a cosine distance, 0 to 2, of a vector, in no order: none is
-- missed, as an index may. A query that is NULL or zero raises, and so does a distance out of range. With a radius index a transaction
-- whose snapshot is older than that raises too.
-- STABLE, and inlined into the caller's query.
{create} imgvec.{within}(query {vector}.halfvec, max_distance double precision)
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    {within_rows};
END;
