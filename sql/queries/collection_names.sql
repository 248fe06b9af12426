-- Names that a collection can be called by: its own and its aliases.
SELECT c.name FROM imgvec.collection AS c UNION SELECT a.name FROM imgvec.alias AS a ORDER BY 1;
