-- The database's own default of hnsw.iterative_scan, as "hnsw.iterative_scan=strict_order"; no row when it has none.
SELECT entry
FROM pg_db_role_setting AS s CROSS JOIN LATERAL unnest(s.setconfig) AS entry
WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.setrole = 0
  AND entry LIKE 'hnsw.iterative\_scan=%';
