-- Rows that the last search for duplicates has seen, by number, as long as they are as it saw them: number, key as JSON text, version, hash,
-- microseconds since 2000, vector.
SELECT d.imgvec_number, {e_key}::text, e.version, e.content_hash,
       (extract(epoch FROM e.embedded_at - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint, e.embedding
FROM unnest(%(numbers)s::integer[]) AS n(wanted)
JOIN imgvec.{duplicate_seen_table} AS d ON d.imgvec_number = n.wanted
JOIN imgvec.{embedding_table} AS e ON {e_equals_d} AND e.version = d.version AND e.embedded_at = d.embedded_at
