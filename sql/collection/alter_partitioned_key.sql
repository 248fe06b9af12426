-- Give the key columns of a hash-partitioned embedding table other types, which PostgreSQL refuses while they part it: its partitions are taken
-- off, changed one by one, and put below a table made anew, since a wider type's hashes are those of the narrower one;
-- where they are not, PostgreSQL refuses a partition. Indexes over vectors go; grants that others gave on the table stay.
ALTER TABLE imgvec.{embedding_table} DROP CONSTRAINT IF EXISTS {constraint_name};
DO $change$
DECLARE
    parent constant regclass := 'imgvec.{embedding_table}'::regclass;
    parts regclass[];
    bounds text[];
    grants text[];
    part regclass;
    vector_index regclass;
    statement text;
BEGIN
    SELECT pg_catalog.array_agg(c.oid::regclass ORDER BY c.oid), pg_catalog.array_agg(pg_catalog.pg_get_expr(c.relpartbound, c.oid) ORDER BY c.oid)
    INTO parts, bounds
    FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = parent::oid;
    SELECT pg_catalog.array_agg(pg_catalog.format(
               'GRANT %s ON imgvec.{embedding_table} TO %s%s', a.privilege_type,
               CASE WHEN a.grantee = '0'::oid THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
               CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END))
    INTO grants
    FROM pg_catalog.pg_class AS c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a
    WHERE c.oid = parent::oid AND a.grantee <> c.relowner;
    FOREACH part IN ARRAY parts LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s DETACH PARTITION %s', parent, part);
    END LOOP;
    DROP TABLE imgvec.{embedding_table};
    FOR vector_index IN
        SELECT i.index_oid FROM pg_catalog.unnest(parts) AS t (oid) CROSS JOIN LATERAL {distance_indexes} AS i
    LOOP
        EXECUTE pg_catalog.format('DROP INDEX %s', vector_index);
    END LOOP;
    EXECUTE {create_table};
    FOR place IN 1 .. pg_catalog.cardinality(parts) LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s ', parts[place]) OPERATOR(pg_catalog.||) {columns};
        EXECUTE pg_catalog.format('ALTER TABLE imgvec.{embedding_table} ATTACH PARTITION %s %s', parts[place], bounds[place]);
    END LOOP;
    FOREACH statement IN ARRAY coalesce(grants, '{{}}') LOOP
        EXECUTE statement;
    END LOOP;
END
$change$;
UPDATE imgvec.collection SET key_types = {types} WHERE id = {collection_id};
