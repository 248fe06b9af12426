-- What the last search for duplicates has not seen: when it ended, its threshold and condition, how many rows it left out as not embedded,
-- how many it compared, how many of those are gone or changed, and how many others are new. With a condition those are not counted: NULL. Last
-- its linkage, NULL of a run by a version that had but one, and its rules for keepers.
SELECT r.ended_at, r.threshold, r.condition, r.not_embedded, r.row_count,
       count(*) FILTER (WHERE c.is_seen AND NOT c.is_there),
       CASE WHEN r.condition IS NULL THEN count(*) FILTER (WHERE c.is_there AND NOT c.is_seen) END,
       pg_catalog.to_jsonb(r) ->> 'linkage', r.keep
FROM imgvec.{duplicate_run_table} AS r
LEFT JOIN (
    SELECT d.imgvec_number IS NOT NULL AS is_seen, e.version IS NOT NULL AS is_there
    FROM imgvec.{duplicate_seen_table} AS d
    FULL JOIN imgvec.{embedding_table} AS e ON {e_equals_d} AND e.version = d.version AND e.embedded_at = d.embedded_at
    WHERE d.imgvec_number IS NULL OR e.version IS NULL
) AS c ON true
GROUP BY r.is_last
