-- Coordinates of the next embedded rows in the order of keys: how many rows, and the last key, null where there was none.
-- Those that are there stay: a writer's trigger has the newer vector.
WITH axes AS MATERIALIZED (
    SELECT ARRAY(SELECT a.axis FROM imgvec.{axis_table} AS a ORDER BY a.number) AS imgvec_axes
), page AS MATERIALIZED (
    SELECT {e_keys}, e.embedding, {vector}.l2_norm(e.embedding) AS imgvec_norm
    FROM imgvec.{embedding_table} AS e
    WHERE {after_condition}
    ORDER BY {e_keys} LIMIT %(page_size)s
), added AS (
    INSERT INTO imgvec.{coordinate_table} ({keys}, {coordinates_column})
    SELECT {e_keys}, ARRAY[{products}]::{vector}.halfvec
    FROM page AS e CROSS JOIN axes
    ON CONFLICT DO NOTHING
)
SELECT (SELECT count(*) FROM page), (SELECT {e_key} FROM page AS e ORDER BY {e_keys_descending} LIMIT 1);
