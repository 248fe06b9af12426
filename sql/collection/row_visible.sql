-- Whether the row of a key, a JSON object, meets a condition over the source's columns.
SELECT EXISTS (SELECT FROM (SELECT * FROM {source} WHERE {condition}) AS s
               JOIN jsonb_to_record(%(key)s::jsonb) AS k({key_definitions}) ON {k_equals_s});
