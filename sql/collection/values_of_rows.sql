-- Values of columns as text, of the rows of %(keys)s: position (from 1), an array of values ('' for NULL). Rows that are gone are absent.
SELECT k.imgvec_position, ARRAY[{values}]::text[]
FROM ROWS FROM (jsonb_to_recordset(%(keys)s::jsonb) AS ({key_definitions})) WITH ORDINALITY AS k({keys}, imgvec_position)
JOIN {source} AS s ON {k_equals_s}
