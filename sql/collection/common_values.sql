-- The most frequent values of a column, as text, among the rows of a map that this role sees.
SELECT {value}, count(*) FROM imgvec.{map_point_table} AS p {joined} WHERE {value} <> '' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %(limit)s
