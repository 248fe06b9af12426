-- The state of a collection's queue: rows waiting, jobs whose lease ran out %(late_seconds)s ago and more, jobs that
-- cost a worker its life, live workers and the last sign of any, failures.
SELECT coalesce(sum(jsonb_array_length(j.keys)), 0)::bigint AS waiting,
       count(*) FILTER (WHERE j.lease_until < now() - make_interval(secs => %(late_seconds)s)) AS abandoned,
       count(*) FILTER (WHERE j.deaths > 0) AS quarantined,
       coalesce(sum(jsonb_array_length(j.keys)) FILTER (WHERE j.run_after <= now()), 0)::bigint AS ready,
       (SELECT count(*) FROM imgvec.worker AS w
        WHERE w.collection_id = %(collection_id)s AND w.seen_at > now() - interval '1 minute') AS workers,
       (SELECT to_char(max(w.seen_at), 'YYYY-MM-DD HH24:MI TZ') FROM imgvec.worker AS w
        WHERE w.collection_id = %(collection_id)s) AS last_seen,
       (SELECT count(*) FROM imgvec.failure AS f
        WHERE f.collection_id = %(collection_id)s AND f.code NOT IN ('no_image', 'blank', 'noted')) AS failures
FROM imgvec.job AS j WHERE j.collection_id = %(collection_id)s;
