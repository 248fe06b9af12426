-- A live worker keeps its leases.
UPDATE imgvec.job SET lease_until = now() + make_interval(secs => %(lease_seconds)s)
WHERE token = ANY (%(tokens)s::uuid[]) AND collection_id = %(collection_id)s;
