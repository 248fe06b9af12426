-- Rows compared become rows seen. Their times come as PostgreSQL sends them: microseconds since 2000.
INSERT INTO imgvec.{duplicate_seen_table} (imgvec_number, {keys}, version, embedded_at)
SELECT c.number, {k_keys}, c.version, timestamptz '2000-01-01 00:00:00+00' + c.microseconds * interval '1 microsecond'
FROM pg_temp.imgvec_compared AS c
CROSS JOIN LATERAL jsonb_to_record(c.key_text::jsonb) AS k({key_definitions})
