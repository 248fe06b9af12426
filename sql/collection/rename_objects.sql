-- Gives the objects of a collection in the schema imgvec the names that a collection of the new name has: its embedding table
-- with partitions and indexes, its constraints, its key type and its functions. What refers to them (views, an alias's
-- bodies, policies) does so by oid and follows; what PostgreSQL keeps as text is made anew afterwards.
DO $rename$
DECLARE
    old_table constant text := {old_table};
    new_table constant text := {new_table};
    entry record;
BEGIN
    FOR entry IN
        WITH tables AS (
            SELECT c.oid FROM pg_class AS c
            WHERE c.relnamespace = 'imgvec'::regnamespace AND c.relname = old_table::name AND c.relkind IN ('r', 'p')
            UNION
            SELECT i.inhrelid FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhparent
            WHERE c.relnamespace = 'imgvec'::regnamespace AND c.relname = old_table::name
        )
        SELECT 1 AS place, format('ALTER %s imgvec.%I RENAME TO %I',
                                CASE WHEN c.relkind IN ('i', 'I') THEN 'INDEX' ELSE 'TABLE' END, c.relname,
                                new_table || substr(c.relname, length(old_table) + 1)) AS statement
        FROM pg_class AS c
        WHERE (c.oid IN (SELECT t.oid FROM tables AS t)
               OR c.oid IN (SELECT x.indexrelid FROM pg_index AS x JOIN tables AS t ON t.oid = x.indrelid))
          AND starts_with(c.relname, old_table)
        UNION ALL
        -- Those of an index went with it.
        SELECT 2, format('ALTER TABLE imgvec.%I RENAME CONSTRAINT %I TO %I',
                         new_table || substr(c.relname, length(old_table) + 1), k.conname,
                         new_table || substr(k.conname, length(old_table) + 1))
        FROM pg_constraint AS k JOIN tables AS t ON t.oid = k.conrelid JOIN pg_class AS c ON c.oid = t.oid
        WHERE k.contype = 'f' AND starts_with(k.conname, old_table)
        ORDER BY place
    LOOP
        EXECUTE entry.statement;
    END LOOP;
    IF to_regtype(format('imgvec.%I', {old_key_type}::text)) IS NOT NULL THEN
        EXECUTE format('ALTER TYPE imgvec.%I RENAME TO %I', {old_key_type}::text, {new_key_type}::text);
    END IF;
    FOR entry IN
        SELECT format('ALTER FUNCTION %s RENAME TO %I', p.oid::regprocedure, n.new_name) AS statement
        FROM unnest({old_functions}::text[], {new_functions}::text[]) AS n (old_name, new_name)
        JOIN pg_proc AS p ON p.proname = n.old_name::name AND p.pronamespace = 'imgvec'::regnamespace
    LOOP
        EXECUTE entry.statement;
    END LOOP;
END
$rename$;
UPDATE imgvec.collection SET name = {new_name} WHERE id = {collection_id};
