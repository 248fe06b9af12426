-- A live worker keeps its leases; jobs that its writing thread is just finishing are passed over. None of its jobs lies before
-- %(first_change)s, or of the first fill before %(first_fill)s: see claim_jobs.sql for why, and why in two scans.
WITH changes AS (
    SELECT j.id FROM imgvec.job AS j
    WHERE j.collection_id = %(collection_id)s AND (j.version = 0) IS FALSE AND j.id >= %(first_change)s
      AND j.token = ANY (%(tokens)s::uuid[])
    FOR UPDATE SKIP LOCKED
), fill AS (
    SELECT j.id FROM imgvec.job AS j
    WHERE j.collection_id = %(collection_id)s AND (j.version = 0) IS TRUE AND j.id >= %(first_fill)s
      AND j.token = ANY (%(tokens)s::uuid[])
    FOR UPDATE SKIP LOCKED
)
UPDATE imgvec.job AS j SET lease_until = now() + make_interval(secs => %(lease_seconds)s)
FROM (SELECT id FROM changes UNION ALL SELECT id FROM fill) AS held WHERE j.id = held.id;
