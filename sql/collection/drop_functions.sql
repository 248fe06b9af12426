-- The search functions of a collection or an alias.
DO $functions$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN
        SELECT p.oid FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'imgvec'::regnamespace AND regexp_replace(p.proname, '^superseded_', '') = ANY ({function_names}::text[])
        ORDER BY starts_with(p.proname, 'superseded_') DESC
    LOOP
        EXECUTE format('DROP FUNCTION %s', routine);
    END LOOP;
END
$functions$;
