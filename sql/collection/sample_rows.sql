-- Embedded rows drawn at random: the key as JSON and each of its columns as text. Whole pages are drawn first, many more
-- than rows are wanted, so that few rows of one page meet; their order is a hash of the key and the seed.
SELECT {e_key}, ARRAY[{e_texts}]
FROM imgvec.{embedding_table} AS e TABLESAMPLE SYSTEM (%(percent)s) REPEATABLE (%(seed)s)
WHERE {restriction}
ORDER BY hashtextextended(ARRAY[{e_texts}]::text, %(seed)s)
LIMIT %(sample)s;
