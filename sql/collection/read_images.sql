-- What the rows of a job hold now: position in %(keys)s (from 1), path, bytes, hash of the reference. Rows that are gone
-- are absent.
SELECT k.imgvec_position, {path} AS path, {content} AS content, {s_reference_hash} AS reference_hash
FROM ROWS FROM (jsonb_to_recordset(%(keys)s::jsonb) AS ({key_definitions})) WITH ORDINALITY AS k({keys}, imgvec_position)
JOIN {source} AS s ON {k_equals_s};
