-- Give claimed jobs back untried: no attempt is charged.
UPDATE imgvec.job SET token = NULL, lease_until = NULL, attempts = greatest(attempts - 1, 0)
WHERE token = ANY (%(tokens)s::uuid[]) AND collection_id = %(collection_id)s;
