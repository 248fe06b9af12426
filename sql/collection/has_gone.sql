-- Whether a key of these jobs has no row in the source.
SELECT EXISTS (
    SELECT FROM ROWS FROM (unnest(%(ids)s::bigint[]), unnest(%(tokens)s::uuid[])) AS d(id, token)
    JOIN imgvec.job AS j ON j.id = d.id AND j.token = d.token
    CROSS JOIN LATERAL jsonb_array_elements(j.keys) AS k(key) CROSS JOIN LATERAL jsonb_to_record(k.key) AS r({key_definitions})
    WHERE j.id = ANY (%(ids)s::bigint[])
      AND NOT EXISTS (SELECT FROM {source} AS s WHERE {r_equals_s})
);
