-- In the order of keys, so that two writers do not wait crosswise.
INSERT INTO imgvec.{coordinate_table} AS c ({keys}, {coordinates_column})
SELECT {e_keys}, ARRAY[{products}]::{vector}.halfvec
FROM (SELECT {v_keys}, v.embedding, {vector}.l2_norm(v.embedding) AS imgvec_norm FROM new_rows AS v ORDER BY {v_keys}) AS e
CROSS JOIN (SELECT ARRAY(SELECT a.axis FROM imgvec.{axis_table} AS a ORDER BY a.number) AS imgvec_axes) AS x
ON CONFLICT ({keys}) DO UPDATE SET {coordinates_column} = EXCLUDED.{coordinates_column}
