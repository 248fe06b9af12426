-- Of one row, whose key is the only one of %(keys)s: how many bytes its picture has in the table (null for none) and the hash
-- of its reference. The bytes themselves are not read.
SELECT octet_length({content}), {s_reference_hash}
FROM jsonb_to_recordset(%(keys)s::jsonb) AS k({key_definitions})
JOIN {source} AS s ON {k_equals_s};
