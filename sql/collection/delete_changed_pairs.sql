-- Pairs that are true no more, before those of changed rows are written: of rows of the last run that are gone or changed (by number), of rows that
-- now have a key which is new to it, as an UPDATE of a key brings it, and what lies below a similarity. Seen rows go too.
WITH gone AS (
    DELETE FROM imgvec.{duplicate_seen_table} AS e WHERE e.imgvec_number = ANY (%(gone)s) RETURNING {e_keys}
), changed AS (
    SELECT {e_keys} FROM gone AS e
    UNION ALL
    SELECT {k_keys} FROM unnest(%(keys)s::text[]) AS t(key_text)
    CROSS JOIN LATERAL jsonb_to_record(t.key_text::jsonb) AS k({key_definitions})
), by_first AS (
    DELETE FROM imgvec.{duplicate_pair_table} AS p USING changed AS e WHERE {e_equals_p}
), by_second AS (
    DELETE FROM imgvec.{duplicate_pair_table} AS p USING changed AS e WHERE {e_equals_p_other}
)
DELETE FROM imgvec.{duplicate_pair_table} AS p WHERE 1 - p.distance < %(lowest)s::double precision
