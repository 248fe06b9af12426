-- What a search needs to know first: the settings that it puts back, and about how many rows the embedding tables
-- have (the partitions together, as the planner estimates them). A setting is null before pgvector's library is loaded.
SELECT (SELECT jsonb_object_agg(s, current_setting(s, true)) FROM unnest(%(names)s::text[]) AS s) AS settings,
       coalesce(sum(CASE WHEN c.relpages > 0
                         THEN greatest(c.reltuples, 0) / c.relpages * pg_relation_size(c.oid) / 8192.0 END), 0)::double precision
       AS embedded_rows
FROM pg_class AS c
WHERE c.oid = %(table)s::regclass::oid
   OR c.oid IN (SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = %(table)s::regclass::oid);
