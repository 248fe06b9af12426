-- Aliases with what they point to and pointed to before; %(name)s and %(collection_id)s are null for all.
SELECT a.name, c.id AS collection_id, c.name AS collection_name, p.name AS previous_name
FROM imgvec.alias AS a
JOIN imgvec.collection AS c ON c.id = a.collection_id
LEFT JOIN imgvec.collection AS p ON p.id = a.previous_id
WHERE (%(name)s::text IS NULL OR a.name = %(name)s)
  AND (%(collection_id)s::integer IS NULL OR a.collection_id = %(collection_id)s)
ORDER BY a.name;
