-- The pictures whose rows that match the condition were embedded last, each by the row that shown_pictures.sql says: its key as a JSON object, how many rows have
-- the picture, the asked columns. Looked for among so many of the newest rows; NULL: among all.
WITH ranked AS MATERIALIZED (
    SELECT p.imgvec_picture, p.imgvec_alone, pg_catalog.min(p.imgvec_place) AS imgvec_rank
    FROM (
        SELECT e.content_hash AS imgvec_picture,
               CASE WHEN e.content_hash OPERATOR(pg_catalog.=) ''::pg_catalog.bytea THEN {e_key} END AS imgvec_alone,
               pg_catalog.row_number() OVER (ORDER BY e.embedded_at DESC, {e_keys_descending}) AS imgvec_place
        FROM (SELECT * FROM imgvec.{embedding_table} ORDER BY embedded_at DESC, {keys_descending} LIMIT %(among)s) AS e
        JOIN (SELECT {wanted} FROM {source} WHERE {condition}) AS s ON {e_equals_s}
    ) AS p
    GROUP BY 1, 2
    ORDER BY 3
    LIMIT %(limit)s
)
SELECT {s_key}, s.imgvec_copies{shown}
FROM ({shown_pictures}) AS s
ORDER BY s.imgvec_rank;
