-- How many keys have more than one row in a relation.
SELECT count(*) FROM (SELECT FROM {relation} GROUP BY {keys} HAVING count(*) > 1) AS k;
