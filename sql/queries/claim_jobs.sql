-- Claim due jobs holding about %(max_keys)s keys: changes before the first fill, oldest first. Each about %(batch_keys)s of them get a token of
-- %(tokens)s of their own: batches that are worked one after the other, and are each another's to take over.
-- A job whose lease ran out is quarantined (its worker died, or was stopped for long) and is claimed alone; with
-- %(skips_expired)s it is left alone: after an outage its worker may come back any moment. With %(skips_quarantined)s all quarantined
-- are, so that other work gets its turn between them.
-- %(first_change)s and %(first_fill)s: ids to begin from, 0 to see all. While an old transaction keeps VACUUM away, the entries
-- of all jobs done since lie before the first that is due, and would be walked through for each claim.
-- Two scans, so that each begins at its id in the index job_due.
-- Returns id, version, keys, attempts (this one counted, those that ran out not), deaths, and the token.
WITH changes AS (
    SELECT j.id, jsonb_array_length(j.keys) AS key_count, false AS is_fill,
           j.deaths + (j.token IS NOT NULL)::integer AS deaths
    FROM imgvec.job AS j
    WHERE j.collection_id = %(collection_id)s AND (j.version = 0) IS FALSE AND j.id >= %(first_change)s
      AND j.run_after <= now()
      AND (j.lease_until IS NULL OR (j.lease_until <= now() AND NOT %(skips_expired)s))
      AND (NOT %(skips_quarantined)s OR (j.deaths = 0 AND j.token IS NULL))
    ORDER BY j.id
    LIMIT %(max_jobs)s
    FOR UPDATE SKIP LOCKED
), fill AS (
    SELECT j.id, jsonb_array_length(j.keys) AS key_count, true AS is_fill,
           j.deaths + (j.token IS NOT NULL)::integer AS deaths
    FROM imgvec.job AS j
    WHERE j.collection_id = %(collection_id)s AND (j.version = 0) IS TRUE AND j.id >= %(first_fill)s
      AND j.run_after <= now()
      AND (j.lease_until IS NULL OR (j.lease_until <= now() AND NOT %(skips_expired)s))
      AND (NOT %(skips_quarantined)s OR (j.deaths = 0 AND j.token IS NULL))
    ORDER BY j.id
    -- Nothing is locked that will not be taken: others pass over what is.
    LIMIT CASE WHEN (SELECT coalesce(sum(c.key_count), 0) FROM changes AS c) < %(max_keys)s THEN %(max_jobs)s ELSE 0 END
    FOR UPDATE SKIP LOCKED
), due AS (
    SELECT * FROM changes UNION ALL SELECT * FROM fill
), taken AS (
    SELECT d.id, d.deaths, d.keys_before
    FROM (
        SELECT due.id, due.deaths, row_number() OVER line AS place, sum(due.key_count) OVER line - due.key_count AS keys_before,
               bool_or(due.deaths > 0) OVER line AS quarantined_met
        FROM due WINDOW line AS (ORDER BY due.is_fill, due.id)
    ) AS d
    WHERE d.keys_before < %(max_keys)s AND (d.place = 1 OR NOT d.quarantined_met)
)
UPDATE imgvec.job AS j
SET token = (%(tokens)s::uuid[])[1 + (taken.keys_before / %(batch_keys)s)::integer], lease_until = now() + make_interval(secs => %(lease_seconds)s),
    attempts = j.attempts + (j.token IS NULL)::integer, deaths = taken.deaths
FROM taken
WHERE j.id = taken.id
RETURNING j.id, j.version, j.keys, j.attempts, j.deaths, j.token;
