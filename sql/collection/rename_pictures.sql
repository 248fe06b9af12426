-- Gives a collection's pictures, where it has some, with their indexes and trigger functions the names of a collection of the new name.
DO $rename$
DECLARE
    old_table constant text := {old_table};
    entry record;
BEGIN
    FOR entry IN
        SELECT format('ALTER INDEX imgvec.%I RENAME TO %I', i.relname, {new_table} || substr(i.relname, length(old_table) + 1)) AS statement
        FROM pg_class AS c JOIN pg_index AS x ON x.indrelid = c.oid JOIN pg_class AS i ON i.oid = x.indexrelid
        WHERE c.relnamespace = 'imgvec'::regnamespace AND c.relname = old_table::name AND starts_with(i.relname, old_table)
        UNION ALL
        SELECT format('ALTER TABLE imgvec.%I RENAME TO %I', old_table, {new_table})
        WHERE to_regclass(format('imgvec.%I', old_table)) IS NOT NULL
        UNION ALL
        SELECT format('ALTER FUNCTION %s RENAME TO %I', p.oid::regprocedure, n.new_name)
        FROM unnest({old_functions}::text[], {new_functions}::text[]) AS n (old_name, new_name)
        JOIN pg_proc AS p ON p.proname = n.old_name::name AND p.pronamespace = 'imgvec'::regnamespace
    LOOP
        EXECUTE entry.statement;
    END LOOP;
END
$rename$;
