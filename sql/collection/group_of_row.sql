-- The group of near-duplicates that a row belongs to, by its key, a JSON object. No row where it is in none, or in none that this role sees.
SELECT g.group_id
FROM pg_catalog.jsonb_to_record(%(key)s::pg_catalog.jsonb) AS k({key_definitions})
JOIN imgvec.{duplicate_group_view} AS g ON {g_equals_k};
