-- File keys again, each alone, to run later; the version is that of the job they came from.
INSERT INTO imgvec.job (collection_id, version, keys, attempts, run_after)
SELECT %(collection_id)s, w.version, pg_catalog.jsonb_build_array(w.key), w.attempts, now() + make_interval(secs => w.delay_seconds)
FROM ROWS FROM (
    jsonb_array_elements(%(keys)s::jsonb), unnest(%(versions)s::bigint[]),
    unnest(%(attempts)s::smallint[]), unnest(%(delays)s::double precision[])
) AS w(key, version, attempts, delay_seconds);
