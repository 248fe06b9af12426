-- What a column of vectors holds beside the rows of a source: of each number of dimensions (null for rows without a vector) the
-- rows, those of norm 0, and the least and largest norm of the others.
SELECT m.dimensions, count(*), count(*) FILTER (WHERE m.norm = 0), min(m.norm) FILTER (WHERE m.norm > 0), max(m.norm)
FROM (SELECT {vector}.vector_dims({adopted}) AS dimensions, {vector}.vector_norm({adopted}) AS norm FROM {adopting}) AS m
GROUP BY m.dimensions
ORDER BY count(*) DESC;
