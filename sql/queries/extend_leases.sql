-- A live worker keeps its leases; jobs that its writing thread is just finishing are passed over. None of them has an id
-- below %(first_id)s.
WITH held AS (
    SELECT j.id FROM imgvec.job AS j
    WHERE j.token = ANY (%(tokens)s::uuid[]) AND j.collection_id = %(collection_id)s AND j.id >= %(first_id)s
    FOR UPDATE SKIP LOCKED
)
UPDATE imgvec.job AS j SET lease_until = now() + make_interval(secs => %(lease_seconds)s)
FROM held WHERE j.id = held.id;
