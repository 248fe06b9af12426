-- Where a row lies on its collection's map, by its key, a JSON object: x and y. No row where it is not on it, or not for this role.
SELECT p.x, p.y
FROM pg_catalog.jsonb_to_record(%(key)s::pg_catalog.jsonb) AS k({key_definitions})
JOIN imgvec.{map_point_table} AS p ON {p_equals_k};
