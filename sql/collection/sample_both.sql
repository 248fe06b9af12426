-- Keys of some rows that two collections over one source have vectors of.
SELECT {e_key} AS key
FROM imgvec.{embedding_table} AS e TABLESAMPLE BERNOULLI (%(percent)s) REPEATABLE (%(seed)s)
WHERE EXISTS (SELECT FROM imgvec.{other_table} AS o WHERE {e_equals_o})
LIMIT %(sample)s;
