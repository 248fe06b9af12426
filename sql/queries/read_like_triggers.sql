-- For this transaction: all rows of the source, or an error where a policy would hide some (row_security off; not where there is none:
-- it would refuse the embedding table too, whose policies are others). The source is locked against ALTER TABLE first, lest it hid rows in
-- between; times in keys as the
-- triggers write them; operators such as > those of the key's own types, citext among them; and one way to print values,
-- so that a reference has the same hash in every session. No row where the collection is gone, or its source has another name by now: what has
-- that name is something else, and nothing of it is read.
SELECT set_config('row_security', CASE WHEN imgvec.source_hides_rows(c.source::oid) THEN 'off' ELSE 'on' END, true), set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO', true),
       set_config('intervalstyle', 'iso_8601', true), set_config('bytea_output', 'hex', true),
       set_config('extra_float_digits', '1', true), set_config('lc_monetary', 'C', true),
       set_config('search_path', (SELECT string_agg(quote_ident(s), ', ') FROM unnest(%(schemas)s::text[]) AS s), true)
FROM imgvec.collection AS c WHERE c.id = %(collection_id)s AND NOT EXISTS (SELECT FROM {source} AS s WHERE false)
  AND pg_catalog.to_regclass({source_name})::oid = c.source::oid;
