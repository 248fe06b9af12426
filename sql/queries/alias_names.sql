-- Names of aliases.
SELECT a.name FROM imgvec.alias AS a ORDER BY 1;
