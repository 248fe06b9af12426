-- Claim due jobs holding about %(max_keys)s keys: changes before the first fill, oldest first.
-- Returns id, version, keys, attempts (this one counted).
WITH due AS (
    SELECT j.id, jsonb_array_length(j.keys) AS key_count, (j.version = 0) AS is_fill
    FROM imgvec.job AS j
    WHERE j.collection_id = %(collection_id)s AND j.run_after <= now()
      AND (j.lease_until IS NULL OR j.lease_until <= now())
    ORDER BY (j.version = 0), j.id
    LIMIT %(max_jobs)s
    FOR UPDATE SKIP LOCKED
), taken AS (
    SELECT d.id
    FROM (SELECT due.id, sum(due.key_count) OVER (ORDER BY due.is_fill, due.id) - due.key_count AS keys_before FROM due) AS d
    WHERE d.keys_before < %(max_keys)s
)
UPDATE imgvec.job AS j
SET token = %(token)s, lease_until = now() + make_interval(secs => %(lease_seconds)s), attempts = j.attempts + 1
FROM taken
WHERE j.id = taken.id
RETURNING j.id, j.version, j.keys, j.attempts;
