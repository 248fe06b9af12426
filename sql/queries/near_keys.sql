-- The key, of one column, of the rows nearest to a vector by the index of their collection: over its rows, or over its different pictures.
SELECT n.{key_column} FROM imgvec.{near}(%s::{vector}.halfvec) AS n ORDER BY n.distance LIMIT %s
