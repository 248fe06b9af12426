-- Find the rows of a search for duplicates again, by number, with their typed keys: those that are still as they were read. imgvec_seen
-- has (number, key_text, version, content_hash, microseconds since 2000 or NULL, group_id). The names begin so that no key column has them. imgvec_place: the order of keys.
CREATE TEMP TABLE imgvec_row ON COMMIT DROP AS
SELECT t.number AS imgvec_number, t.group_id AS imgvec_group, t.content_hash AS imgvec_hash,
       row_number() OVER (ORDER BY {e_keys}) AS imgvec_place, {e_keys}
FROM pg_temp.imgvec_seen AS t
CROSS JOIN LATERAL jsonb_to_record(t.key_text::jsonb) AS k({key_definitions})
JOIN imgvec.{embedding_table} AS e ON {e_equals_k}
WHERE e.version = t.version AND e.content_hash = t.content_hash
  AND (t.microseconds IS NULL
       OR e.embedded_at = timestamptz '2000-01-01 00:00:00+00' + t.microseconds * interval '1 microsecond')
