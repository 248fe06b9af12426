-- A collection's queue and failures, for metrics: keys that may be taken now, are leased, are delayed; seconds that the
-- oldest which may be taken has waited (0 when none); jobs that cost a worker its life; failed rows by code.
SELECT coalesce(sum(jsonb_array_length(j.keys)) FILTER (WHERE j.run_after <= now() AND NOT is_leased), 0)::bigint AS ready,
       coalesce(sum(jsonb_array_length(j.keys)) FILTER (WHERE is_leased), 0)::bigint AS leased,
       coalesce(sum(jsonb_array_length(j.keys)) FILTER (WHERE j.run_after > now() AND NOT is_leased), 0)::bigint AS delayed,
       coalesce(extract(epoch FROM now() - min(j.run_after) FILTER (WHERE j.run_after <= now() AND NOT is_leased)), 0)
           ::double precision AS oldest_ready_seconds,
       count(*) FILTER (WHERE j.deaths > 0) AS quarantined,
       coalesce((SELECT jsonb_object_agg(g.code, g.failed)
                 FROM (SELECT f.code, count(*) AS failed FROM imgvec.failure AS f
                       WHERE f.collection_id = %(collection_id)s AND f.code NOT IN ('blank', 'noted') GROUP BY f.code) AS g), '{}') AS failures
FROM imgvec.job AS j CROSS JOIN LATERAL (SELECT coalesce(j.lease_until > now(), false)) AS l(is_leased)
WHERE j.collection_id = %(collection_id)s;
