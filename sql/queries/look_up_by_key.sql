-- For this transaction: the rows of a batch's keys are looked up in the source's index, where it has one for the key or a part of it.
-- PostgreSQL, which prices pages as if they lay on a disk, would rather read all of a source of less than some 20,000 rows for each batch.
-- Kept in memory (Material), a table that was not analyzed yet is read once for each key: failures and notes of a fill's first minute.
-- A view, whose rows may not be had by key, or a key without an index, is joined.
SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_material', 'off', true)
FROM imgvec.collection AS c
WHERE c.id = %(collection_id)s AND EXISTS (
    SELECT FROM pg_index AS i
    WHERE i.indrelid = c.source::oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
      AND NOT EXISTS (
          SELECT FROM pg_attribute AS a
          WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) AND a.attname::text <> ALL (c.key_columns)
      )
);
