-- Give claimed jobs back untried: no attempt is charged. None of them lies before %(first_change)s, or of the first fill before
-- %(first_fill)s: see claim_jobs.sql for why, and why in two scans.
UPDATE imgvec.job AS j SET token = NULL, lease_until = NULL, attempts = greatest(j.attempts - 1, 0)
FROM (
    SELECT c.id FROM imgvec.job AS c
    WHERE c.collection_id = %(collection_id)s AND (c.version = 0) IS FALSE AND c.id >= %(first_change)s
      AND c.token = ANY (%(tokens)s::uuid[])
    UNION ALL
    SELECT f.id FROM imgvec.job AS f
    WHERE f.collection_id = %(collection_id)s AND (f.version = 0) IS TRUE AND f.id >= %(first_fill)s
      AND f.token = ANY (%(tokens)s::uuid[])
) AS held
-- Once more the token: another worker may have taken a job meanwhile.
WHERE j.id = held.id AND j.token = ANY (%(tokens)s::uuid[]);
