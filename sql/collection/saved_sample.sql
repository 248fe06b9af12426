(
    -- A sample of the rows, by the hash of their key: the mean of their vectors, and their keys.
    SELECT {vector}.avg(r.embedding) AS imgvec_middle, pg_catalog.array_agg({r_key}) AS imgvec_keys
    FROM (
        SELECT {e_keys}, e.embedding FROM {rows}
        ORDER BY pg_catalog.hashtext(pg_catalog.concat_ws(',', {e_keys})) LIMIT {sample_rows}
    ) AS r
    HAVING {vector}.l2_norm({vector}.avg(r.embedding)) OPERATOR(pg_catalog.>) 0
) AS r
