-- imgvec.within_at_most_<collection>(query, max_distance, most): the rows of within_<collection>, or an error that says how many there are
-- where they are more than `most`. STABLE, and inlined; all rows are compared before the first is given.
{create} imgvec.{within_at_most}(query {vector}.halfvec, max_distance double precision, most integer)
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT {w_keys}, w.imgvec_distance
    FROM (
        SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) r.query AS imgvec_distance, pg_catalog.count(*) OVER () AS imgvec_found
        FROM (SELECT $1 AS query, imgvec.within_radius({vector}.l2_norm($1), $2) AS distance OFFSET 0) AS r
        CROSS JOIN imgvec.{embedding_table} AS e
        WHERE (e.embedding OPERATOR({vector}.<=>) r.query) OPERATOR(pg_catalog.<=) r.distance
    ) AS w
    WHERE imgvec.within_found(w.imgvec_found, $3, $2);
END;
