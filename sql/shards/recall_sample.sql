-- Embedded rows of a shard drawn at random, run there: the key's columns as text and the vector. As sql/collection/sample_rows.sql draws.
SELECT ARRAY[{e_texts}]::pg_catalog.text, e.embedding::pg_catalog.text
FROM imgvec.{embedding_table} AS e TABLESAMPLE SYSTEM ({percent}) REPEATABLE ({seed})
ORDER BY pg_catalog.hashtextextended(ARRAY[{e_texts}]::pg_catalog.text, {seed})
LIMIT {sample}
