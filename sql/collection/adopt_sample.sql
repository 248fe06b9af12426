-- Rows with a picture and a vector of so many dimensions and norm above 0, drawn by a hash of the key and a seed: key, path, bytes, the
-- vector as text. Keys come first: neither pictures nor vectors of the others are read. %(direction)s and %(least)s: only rows that
-- lie so far along it (null for all); %(known)s: keys to leave out; s_in_ranges: as in adopt_page.sql.
WITH drawn AS MATERIALIZED (
    SELECT {s_keys}, pg_catalog.hashtextextended({s_key}::pg_catalog.text, %(seed)s) AS imgvec_order FROM {adopting}
    WHERE {s_has_image} AND {adopted} IS NOT NULL AND NOT {s_key} = ANY (%(known)s::jsonb[])
      AND {s_in_ranges}
    ORDER BY imgvec_order LIMIT %(drawn)s
)
SELECT {s_key}, {path}, {content}, {adopted}::pg_catalog.text
FROM drawn AS p JOIN {adopting} ON {p_equals_s}
WHERE CASE WHEN {vector}.vector_dims({adopted}) = {dimensions} AND {vector}.vector_norm({adopted}) > 0 THEN
    %(least)s::float8 IS NULL
    OR -({vector}.l2_normalize({adopted}) OPERATOR({vector}.<#>) %(direction)s::{vector}.vector) >= %(least)s::float8 END
ORDER BY p.imgvec_order LIMIT %(sample)s;
