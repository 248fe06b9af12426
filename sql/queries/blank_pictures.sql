-- Rows of a collection whose picture is blank and that this role may see, newest first, and how many there are.
SELECT b.key, b.message, b.embedded_at, count(*) OVER () AS total
FROM imgvec.blank_pictures AS b
WHERE b.collection = %(collection)s
ORDER BY b.embedded_at DESC, b.key
LIMIT %(limit)s;
