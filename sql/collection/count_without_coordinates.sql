-- Embedded rows that have no coordinates.
SELECT count(*) FROM imgvec.{embedding_table} AS e LEFT JOIN imgvec.{coordinate_table} AS c ON {e_equals_c}
WHERE c.{coordinates_column} IS NULL;
