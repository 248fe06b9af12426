-- imgvec.within_at_most_<collection>(query, max_distance, most): the rows of within_<collection>, or an error that says how many there are
-- where they are more than `most`. STABLE, and inlined; all rows within are found before the first is given.
{create} imgvec.{within_at_most}(query {vector}.halfvec, max_distance double precision, most integer)
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT {w_keys}, w.imgvec_distance
    FROM (SELECT {d_keys}, d.imgvec_distance, pg_catalog.count(*) OVER () AS imgvec_found FROM ({within_rows}) AS d) AS w
    WHERE imgvec.within_found(w.imgvec_found, $3, $2);
END;
