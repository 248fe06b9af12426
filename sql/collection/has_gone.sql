-- Whether a key of these jobs has no row in the source.
SELECT EXISTS (
    SELECT FROM imgvec.job AS j
    CROSS JOIN LATERAL jsonb_array_elements(j.keys) AS k(key) CROSS JOIN LATERAL jsonb_to_record(k.key) AS r({key_definitions})
    WHERE j.id = ANY (%(ids)s::bigint[]) AND j.token = %(token)s
      AND NOT EXISTS (SELECT FROM {source} AS s WHERE {r_equals_s})
);
