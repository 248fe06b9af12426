-- The versions of the rows that a collection, as queries/collections.sql has it, is made from: another answer than before is the
-- sign to read it again, which takes five times as long. No row: it is gone. %(name)s is a collection's or an alias's name.
SELECT c.id, c.xmin::text, r.oid, r.xmin::text, n.xmin::text,
       (SELECT pg_catalog.string_agg(a.xmin::text, ',' ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = r.oid AND a.attnum > 0)
FROM imgvec.collection AS c
LEFT JOIN pg_catalog.pg_class AS r ON r.oid = c.source::oid
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
WHERE c.name = %(name)s OR c.id = (SELECT a.collection_id FROM imgvec.alias AS a WHERE a.name = %(name)s);
