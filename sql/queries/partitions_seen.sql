-- The partitions that a collection's source has now, as a hash of their oids, and those of the last look; null for never.
SELECT (SELECT pg_catalog.md5(pg_catalog.string_agg(p.relid::oid::text, ',' ORDER BY p.relid::oid)) FROM pg_catalog.pg_partition_tree(c.source) AS p),
       c.partitions_seen
FROM imgvec.collection AS c WHERE c.id = %s;
