-- What people call rows: the key as a JSON object and one column as text.
SELECT {s_key}, {label}
FROM jsonb_to_recordset(%(keys)s::jsonb) AS k({key_definitions}) JOIN {source} AS s ON {k_equals_s};
