-- Take those keys off jobs %(ids)s that have a vector of the job's version or a newer one. With %(trusted)s also those whose vector was
-- imported since %(since)s, whatever change they were enqueued for: it gets the job's version, so that an older result does not cover it.
-- A job that is leased, or that another session holds, stays as it is. Returns the number of keys taken off.
WITH job_keys AS MATERIALIZED (
    SELECT j.id, j.version, k.key, k.place
    FROM (SELECT q.id, q.version, q.keys FROM imgvec.job AS q
          WHERE q.collection_id = {collection_id} AND q.id = ANY (%(ids)s) AND q.token IS NULL
          FOR UPDATE SKIP LOCKED) AS j
    CROSS JOIN LATERAL jsonb_array_elements(j.keys) WITH ORDINALITY AS k(key, place)
), compared AS MATERIALIZED (
    -- Named so that no key column is called the same.
    SELECT j.id AS imgvec_job, j.version AS imgvec_version, j.key AS imgvec_key, j.place AS imgvec_place, {e_keys},
           coalesce(e.version >= j.version, false) AS imgvec_is_newer,
           coalesce(%(trusted)s AND e.precision = 'imported' AND e.embedded_at >= %(since)s, false) AS imgvec_is_trusted
    FROM job_keys AS j
    CROSS JOIN LATERAL jsonb_to_record(j.key) AS r({key_definitions})
    LEFT JOIN imgvec.{embedding_table} AS e ON {e_equals_r}
), kept AS (
    SELECT c.imgvec_job AS id, jsonb_agg(c.imgvec_key ORDER BY c.imgvec_place) AS keys FROM compared AS c
    WHERE NOT c.imgvec_is_newer AND NOT c.imgvec_is_trusted GROUP BY c.imgvec_job
), raised AS (
    UPDATE imgvec.{embedding_table} AS e SET version = d.imgvec_version
    FROM (SELECT {c_keys}, max(c.imgvec_version) AS imgvec_version FROM compared AS c
          WHERE c.imgvec_is_trusted AND NOT c.imgvec_is_newer GROUP BY {c_keys}) AS d
    WHERE {e_equals_d} AND e.version < d.imgvec_version
), shortened AS (
    UPDATE imgvec.job AS j SET keys = k.keys FROM kept AS k
    WHERE j.id = k.id AND jsonb_array_length(j.keys) > jsonb_array_length(k.keys)
), deleted AS (
    DELETE FROM imgvec.job AS j
    WHERE j.id IN (SELECT k.id FROM job_keys AS k) AND j.id NOT IN (SELECT k.id FROM kept AS k)
)
SELECT count(*) FROM compared AS c WHERE c.imgvec_is_newer OR c.imgvec_is_trusted;
