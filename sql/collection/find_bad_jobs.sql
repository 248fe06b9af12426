-- Queued keys of no row (a worker drops them when it meets them), and keys that nobody works on: their worker died
-- %(late_seconds)s ago and none took over, they have been due for %(stuck_seconds)s and no worker lives, or they are delayed
-- for a day and more. Kind, number, up to %(examples)s keys.
WITH queued AS (
    SELECT k.key,
           CASE WHEN j.lease_until < now() - make_interval(secs => %(late_seconds)s)
                  OR j.run_after > now() + interval '1 day'
                  OR (j.run_after < now() - make_interval(secs => %(stuck_seconds)s)
                      AND (j.lease_until IS NULL OR j.lease_until <= now())
                      AND NOT EXISTS (SELECT FROM imgvec.worker AS w WHERE w.collection_id = {collection_id}
                                                                       AND w.seen_at > now() - interval '1 minute'))
                THEN 'stuck'
                WHEN (j.lease_until IS NULL OR j.lease_until <= now())
                  AND NOT EXISTS (SELECT FROM jsonb_to_record(k.key) AS r({key_definitions}) JOIN {source} AS s ON {r_equals_s})
                THEN 'queued_without_row' END AS kind
    FROM imgvec.job AS j CROSS JOIN LATERAL jsonb_array_elements(j.keys) AS k(key)
    WHERE j.collection_id = {collection_id}
), numbered AS (
    SELECT q.kind, q.key, row_number() OVER (PARTITION BY q.kind) AS place FROM queued AS q WHERE q.kind IS NOT NULL
)
SELECT n.kind, count(*), jsonb_agg(n.key) FILTER (WHERE n.place <= %(examples)s) FROM numbered AS n GROUP BY n.kind;
