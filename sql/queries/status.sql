-- The view imgvec.status, of one collection or of all.
SELECT s.* FROM imgvec.status AS s
WHERE %(name)s::text IS NULL OR s.collection = %(name)s
ORDER BY s.collection;
