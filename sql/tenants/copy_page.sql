-- Copy the next rows of a tenant into the table that is to become its partition; how many, and the last key of them as text; no row
-- where none is left.
WITH page AS MATERIALIZED (
    SELECT e.* FROM imgvec.{embedding_table} AS e
    WHERE e.{tenant} {tenant_equality} %(value)s::{tenant_type}{after}
    ORDER BY {e_others}
    LIMIT %(rows)s
), written AS (
    INSERT INTO imgvec.{partition} SELECT p.* FROM page AS p ON CONFLICT DO NOTHING
)
SELECT (SELECT count(*) FROM page), {others_as_text} FROM page AS e ORDER BY {e_others_descending} LIMIT 1;
