-- The source's rows that a search's condition lets through, as nearest.sql has them: for EXPLAIN, which tells about how many.
-- With a bound value it can be one statement only.
SELECT %(bound)s::integer FROM (SELECT {wanted} FROM {source} WHERE {condition}) AS s;
