-- What views of an earlier release still call asks the search_* of now.
DO $wrap$
DECLARE
    old regprocedure := (SELECT p.oid FROM pg_catalog.pg_proc AS p
                         WHERE p.pronamespace = 'imgvec'::regnamespace AND p.proname = 'superseded_' || (parse_ident('{search}'))[1]);
BEGIN
    IF old IS NOT NULL THEN
        EXECUTE 'CREATE OR REPLACE FUNCTION ' || old::regproc || $statement$
            (query {vector}.halfvec, k integer DEFAULT 10, among {among_type}[] DEFAULT {all_rows})
            RETURNS TABLE ({key_definitions}, distance double precision)
            LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
            AS $body$ SELECT n.* FROM imgvec.{search}($1, $2, $3) AS n $body$
        $statement$;
    END IF;
END
$wrap$;
