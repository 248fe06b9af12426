-- A collection that spans shards: its dimensions, and whether near_* have their tables here (sql/shards/near_tables.sql).
SELECT c.dimensions, pg_catalog.to_regclass(pg_catalog.format('imgvec.%%I', c.name || '_embedding')) IS NOT NULL
FROM imgvec.sharded_collection AS c
WHERE c.name = %(name)s;
