-- The places (from 1) of keys among those given, in the order of the source's key.
SELECT k.imgvec_position
FROM ROWS FROM (jsonb_to_recordset(%(keys)s::jsonb) AS ({key_definitions})) WITH ORDINALITY AS k({keys}, imgvec_position)
ORDER BY {k_keys};
