-- imgvec.embedding_rows(collection): the number of embeddings that the role that asks may see; null where the table is
-- gone. Exact: it counts. STABLE.
CREATE OR REPLACE FUNCTION imgvec.embedding_rows(collection text) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    table_name text := format('imgvec.%I', $1 || '_embedding');
    counted bigint;
BEGIN
    IF to_regclass(table_name) IS NOT NULL THEN
        EXECUTE format('SELECT count(*) FROM %s', table_name) INTO counted;
    END IF;
    RETURN counted;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.embedding_rows(text) FROM PUBLIC;
