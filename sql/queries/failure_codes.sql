-- Failed rows of a collection that this role may see, by code, most first.
SELECT f.code, count(*) AS failed FROM imgvec.failures AS f
WHERE f.collection = %(collection)s
GROUP BY f.code ORDER BY count(*) DESC, f.code;
