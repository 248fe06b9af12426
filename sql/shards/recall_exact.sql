-- The nearest rows of a shard to a vector, all compared, run there: the key's columns as text and the distance.
SELECT ARRAY[{e_texts}]::pg_catalog.text, e.embedding OPERATOR({vector}.<=>) {query}::{vector}.halfvec
FROM imgvec.{embedding_table} AS e
ORDER BY (e.embedding OPERATOR({vector}.<=>) {query}::{vector}.halfvec) OPERATOR(pg_catalog.+) 0
LIMIT {k}
