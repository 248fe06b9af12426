-- The nearest different pictures, each by the row that shown_pictures.sql says: its key as a JSON object, the distance (0 to 2), how
-- many rows have the picture, the asked columns.
-- min() instead of the order of rows: a hash aggregate over all rows costs less than sorting them. WITH TIES: which of equally
-- distant pictures has the smaller key is known only then.
WITH ranked AS MATERIALIZED (
    SELECT p.imgvec_picture, p.imgvec_alone, pg_catalog.min(p.distance) AS imgvec_rank
    FROM (
        SELECT n.imgvec_picture, CASE WHEN n.imgvec_picture OPERATOR(pg_catalog.=) ''::pg_catalog.bytea THEN {n_key} END AS imgvec_alone,
               n.distance
        FROM {near_rows} AS n
        JOIN (SELECT {wanted} FROM {source} WHERE {condition}) AS s ON {n_equals_s}
    ) AS p
    GROUP BY 1, 2
    ORDER BY 3
    FETCH FIRST (%(limit)s) ROWS WITH TIES
)
SELECT {s_key}, s.imgvec_rank, s.imgvec_copies{shown}
FROM ({shown_pictures}) AS s
ORDER BY s.imgvec_rank, {s_keys}
LIMIT %(limit)s;
