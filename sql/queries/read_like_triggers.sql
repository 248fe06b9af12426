-- For this transaction: all rows of the source, or an error where a policy would hide some (row_security off; not where there is none:
-- it would refuse the embedding table too, whose policies are others). The source is locked against ALTER TABLE first, lest it hid rows in
-- between; times in keys as the
-- triggers write them; operators such as > those of the key's own types, citext among them; and one way to print values,
-- so that a reference has the same hash in every session.
-- With %(by_key)s the rows of a batch's keys are looked up in the source's index: PostgreSQL, which prices pages as if they lay on a
-- disk, would rather read all of a source of less than some 20,000 rows for each batch. A view, or a key without an index, is joined.
SELECT set_config('row_security', CASE WHEN imgvec.source_hides_rows(c.source::oid) THEN 'off' ELSE 'on' END, true), set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO', true),
       set_config('intervalstyle', 'iso_8601', true), set_config('bytea_output', 'hex', true),
       set_config('extra_float_digits', '1', true), set_config('lc_monetary', 'C', true),
       set_config('search_path', (SELECT string_agg(quote_ident(s), ', ') FROM unnest(%(schemas)s::text[]) AS s), true),
       set_config('enable_hashjoin', CASE WHEN k.is_looked_up THEN 'off' ELSE current_setting('enable_hashjoin') END, true),
       set_config('enable_mergejoin', CASE WHEN k.is_looked_up THEN 'off' ELSE current_setting('enable_mergejoin') END, true)
FROM imgvec.collection AS c
CROSS JOIN LATERAL (
    SELECT %(by_key)s AND EXISTS (
        SELECT FROM pg_index AS i
        WHERE i.indrelid = c.source::oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
          AND NOT EXISTS (
              SELECT FROM pg_attribute AS a
              WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) AND a.attname::text <> ALL (c.key_columns)
          )
    ) AS is_looked_up
) AS k
WHERE c.id = %(collection_id)s AND NOT EXISTS (SELECT FROM {source} AS s WHERE false);
