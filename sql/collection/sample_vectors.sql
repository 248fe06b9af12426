-- Vectors of some embedded rows, as halfvec_send() writes them: two 16-bit numbers, then halves, all big-endian.
SELECT {vector}.halfvec_send(e.embedding) FROM imgvec.{embedding_table} AS e TABLESAMPLE SYSTEM (%(percent)s) LIMIT %(most)s;
