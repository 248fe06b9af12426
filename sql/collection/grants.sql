-- Functions are revoked from PUBLIC and granted to the two roles, where they exist.
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
    IF to_regrole('imgvec_reader') IS NOT NULL THEN
        GRANT SELECT ON imgvec.{embedding_table} TO imgvec_reader;
    END IF;
    IF to_regrole('imgvec_worker') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON imgvec.{embedding_table} TO imgvec_worker;
    END IF;
    IF to_regclass('imgvec.{picture_table}') IS NOT NULL THEN
        IF to_regrole('imgvec_reader') IS NOT NULL THEN
            GRANT SELECT ON imgvec.{picture_table} TO imgvec_reader;
        END IF;
        IF to_regrole('imgvec_worker') IS NOT NULL THEN
            GRANT SELECT, INSERT, DELETE ON imgvec.{picture_table} TO imgvec_worker;
        END IF;
    END IF;
    IF to_regclass('imgvec.{coordinate_table}') IS NOT NULL THEN
        IF to_regrole('imgvec_reader') IS NOT NULL THEN
            GRANT SELECT ON imgvec.{coordinate_table}, imgvec.{axis_table} TO imgvec_reader;
        END IF;
        IF to_regrole('imgvec_worker') IS NOT NULL THEN
            GRANT SELECT, INSERT, UPDATE ON imgvec.{coordinate_table} TO imgvec_worker;
            GRANT SELECT ON imgvec.{axis_table} TO imgvec_worker;
        END IF;
    END IF;
END
$grants$;
