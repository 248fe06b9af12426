-- Rows that an index build will meet, counted: of the largest table or partition, and of all.
SELECT coalesce(max(t.rows), 0)::bigint, coalesce(sum(t.rows), 0)::bigint
FROM (SELECT count(*) AS rows FROM imgvec.{embedding_table} 
      -- The partition of small tenants has no index.
      WHERE tableoid IS DISTINCT FROM (SELECT nullif(s.partdefid, 0) FROM pg_catalog.pg_partitioned_table AS s
                                       WHERE s.partrelid = 'imgvec.{embedding_table}'::regclass)
      GROUP BY tableoid) AS t;
