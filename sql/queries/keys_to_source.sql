-- The columns of a table by which a foreign key of it points to a source's key, in the order of %(keys)s; no row where there is none.
SELECT array_agg(a.attname::text ORDER BY array_position(%(keys)s::text[], r.attname::text))
FROM pg_constraint AS c
CROSS JOIN LATERAL unnest(c.conkey, c.confkey) AS k(own, foreign_number)
JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.own
JOIN pg_attribute AS r ON r.attrelid = c.confrelid AND r.attnum = k.foreign_number
WHERE c.contype = 'f' AND c.conrelid = %(oid)s AND c.confrelid = %(source)s
GROUP BY c.oid
HAVING array_agg(r.attname::text ORDER BY array_position(%(keys)s::text[], r.attname::text)) = %(keys)s::text[]
ORDER BY c.oid LIMIT 1;
