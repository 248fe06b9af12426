-- Some rows whose picture nobody knows, which got their vectors before there were triggers to name it. Gives their number.
WITH unknown AS (
    SELECT {e_keys} FROM imgvec.{embedding_table} AS e WHERE e.content_hash = '' LIMIT 500 FOR UPDATE SKIP LOCKED
), named AS (
    UPDATE imgvec.{embedding_table} AS e SET content_hash = '' FROM unknown AS d WHERE {e_equals_d} RETURNING 1
)
SELECT count(*) FROM named;
