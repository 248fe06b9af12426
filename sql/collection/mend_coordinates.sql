-- Give embedded rows their coordinates that find_bad_coordinates.sql finds.
-- FOR SHARE: a vector that is changing is waited for, and the new one read; else its coordinates would be put back by this statement.
INSERT INTO imgvec.{coordinate_table} ({keys}, {coordinates_column})
SELECT {e_keys}, ARRAY[{products_of_row}]::{vector}.halfvec
FROM (SELECT ARRAY(SELECT a.axis FROM imgvec.{axis_table} AS a ORDER BY a.number) AS imgvec_axes) AS axes
CROSS JOIN imgvec.{embedding_table} AS e
LEFT JOIN imgvec.{coordinate_table} AS c ON {e_equals_c}
WHERE (c.{coordinates_column} OPERATOR({vector}.<->) ARRAY[{products_of_row}]::{vector}.halfvec <= %(tolerance)s) IS NOT TRUE
FOR SHARE OF e
ON CONFLICT ({keys}) DO UPDATE SET {coordinates_column} = EXCLUDED.{coordinates_column};
