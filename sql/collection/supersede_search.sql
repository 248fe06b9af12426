-- An earlier release's search_*, which had no distinct_pictures: beside the new one a call without it would be ambiguous. Where a view
-- needs it, it is kept under another name, and the view follows.
DO $supersede$
DECLARE
    search_name constant name := (parse_ident('{search}'))[1];
    old regprocedure := (SELECT p.oid FROM pg_catalog.pg_proc AS p
                         WHERE p.pronamespace = 'imgvec'::regnamespace AND p.proname = search_name AND p.pronargs = 3);
BEGIN
    IF old IS NOT NULL THEN
        BEGIN
            EXECUTE format('DROP FUNCTION %s', old);
        EXCEPTION
            WHEN dependent_objects_still_exist THEN
                EXECUTE format('ALTER FUNCTION %s RENAME TO %I', old, 'superseded_' || search_name);
        END;
    END IF;
END
$supersede$;
