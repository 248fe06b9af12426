-- Points of pg_temp.imgvec_placed become rows, those whose row still has the vector that it was placed by; what is there already is replaced.
INSERT INTO imgvec.{map_point_table} ({keys}, x, y, cluster, is_landmark, is_later, version, embedded_at)
SELECT {k_keys}, t.x, t.y, t.cluster, t.is_landmark, t.is_later, e.version, e.embedded_at
FROM pg_temp.imgvec_placed AS t
CROSS JOIN LATERAL jsonb_to_record(t.key_text::jsonb) AS k({key_definitions})
JOIN imgvec.{embedding_table} AS e ON {e_equals_k}
WHERE e.version = t.version
  AND e.embedded_at = timestamptz '2000-01-01 00:00:00+00' + t.microseconds * interval '1 microsecond'
ON CONFLICT ({keys}) DO UPDATE
SET x = excluded.x, y = excluded.y, cluster = excluded.cluster, is_landmark = excluded.is_landmark, is_later = excluded.is_later,
    version = excluded.version, embedded_at = excluded.embedded_at
