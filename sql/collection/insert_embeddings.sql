-- Vectors that an application computed itself, an array for each column, in binary: as text they take 20 times as long. They get version 0, so
-- that any change that a trigger noted, and whatever a worker wrote, goes before them. Gives the number written.
WITH written AS (
    INSERT INTO imgvec.{embedding_table} AS w ({keys}, embedding, version, content_hash, precision)
    SELECT {k_keys}, k.embedding, 0, '', %(precision)s
    FROM unnest({key_arrays}, %(vectors)b::{vector}.halfvec[]) AS k ({keys}, embedding)
    ON CONFLICT ({keys}) DO UPDATE
        -- Nobody knows of what bytes this one is: no other row may get it as theirs.
        SET embedding = excluded.embedding, content_hash = excluded.content_hash, precision = excluded.precision, embedded_at = now()
        WHERE w.version = 0
    RETURNING 1
)
SELECT count(*) FROM written;
