-- Keep the first %(key_count)s keys of a leased job and file the rest again, untried. Returns the keys kept.
WITH rest AS (
    INSERT INTO imgvec.job (collection_id, version, keys, attempts, deaths)
    SELECT j.collection_id, j.version,
           jsonb_path_query_array(j.keys, '$[$first to last]', pg_catalog.jsonb_build_object('first', %(key_count)s::integer)),
           greatest(j.attempts - 1, 0), j.deaths
    FROM imgvec.job AS j
    WHERE j.id = %(id)s AND j.token = %(token)s AND jsonb_array_length(j.keys) > %(key_count)s
)
UPDATE imgvec.job AS j
SET keys = jsonb_path_query_array(j.keys, '$[0 to $last]', pg_catalog.jsonb_build_object('last', %(key_count)s::integer - 1))
WHERE j.id = %(id)s AND j.token = %(token)s
RETURNING j.keys;
