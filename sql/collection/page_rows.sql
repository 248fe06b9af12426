-- One page of rows joined with their source: the key as a JSON object, the distance (0 to 2), the asked columns.
-- %(after_key)s is the key of the last row of the page before, a JSON object; null begins.
-- Its last argument is left out where all rows are asked for: NULL would be refused.
SELECT {n_key}, n.distance, ARRAY[{shown}]::pg_catalog.jsonb[]
FROM imgvec.{page}(
    %(query)s::{vector}.halfvec, %(k)s, %(after_distance)s::float8,
    (SELECT {k_as_key} FROM jsonb_to_record(%(after_key)s::jsonb) AS k({key_definitions})){among}
) AS n
JOIN {source} AS s ON {n_equals_s}
ORDER BY n.distance, {n_keys};
