-- The pictures of the rows that match the condition, in the order of columns of the source: each by the row that shown_pictures.sql says, with its
-- key as a JSON object, how many rows have the picture, the asked columns. Looked for among so many of the first rows in that order; NULL: among all.
WITH ranked AS MATERIALIZED (
    SELECT p.imgvec_picture, p.imgvec_alone, pg_catalog.min(p.imgvec_place) AS imgvec_rank
    FROM (
        SELECT e.content_hash AS imgvec_picture,
               CASE WHEN e.content_hash OPERATOR(pg_catalog.=) ''::pg_catalog.bytea THEN {e_key} END AS imgvec_alone,
               pg_catalog.row_number() OVER (ORDER BY {s_order}) AS imgvec_place
        FROM (SELECT {ordered_columns} FROM {source} WHERE {condition} ORDER BY {order} LIMIT %(among)s) AS s
        JOIN imgvec.{embedding_table} AS e ON {e_equals_s}
    ) AS p
    GROUP BY 1, 2
    ORDER BY 3
    LIMIT %(limit)s
)
SELECT {s_key}, s.imgvec_copies{shown}
FROM ({shown_pictures}) AS s
ORDER BY s.imgvec_rank;
