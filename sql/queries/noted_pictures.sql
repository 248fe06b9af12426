-- Rows of a collection of whose picture something is noted and that this role may see, newest first, and how many there are.
SELECT b.key, b.code, b.message, b.embedded_at, count(*) OVER () AS total
FROM imgvec.noted_pictures AS b
WHERE b.collection = %(collection)s AND (%(code)s::text IS NULL OR b.code = %(code)s)
ORDER BY b.embedded_at DESC, b.key
LIMIT %(limit)s;
