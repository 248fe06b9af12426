-- Embedded rows whose source matches a condition: how much memory a search for duplicates takes.
SELECT count(*) FROM imgvec.{embedding_table} AS e WHERE {restriction}
