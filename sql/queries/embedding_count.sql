-- Rows that an index build will meet, counted: of the largest table or partition, and of all.
SELECT coalesce(max(t.rows), 0)::bigint, coalesce(sum(t.rows), 0)::bigint
FROM (SELECT count(*) AS rows FROM imgvec.{embedding_table} GROUP BY tableoid) AS t;
