-- Functions of these names are revoked from PUBLIC and granted to the two roles, where they exist.
DO $grants$
DECLARE
    routine regprocedure;
    role_name regrole;
BEGIN
    FOR routine IN
        SELECT p.oid FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'imgvec'::regnamespace AND p.proname = ANY ({function_names}::text[])
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', routine);
        FOREACH role_name IN ARRAY ARRAY[to_regrole('imgvec_reader'), to_regrole('imgvec_worker')] LOOP
            CONTINUE WHEN role_name IS NULL;
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', routine, role_name);
        END LOOP;
    END LOOP;
END
$grants$;
