-- A function of this session's own that gives the rows of a view as the view's owner sees them, for superusers: what the view
-- calls then runs as its owner, and within a definer's function it cannot become somebody else again, as after SET ROLE. It names
-- its columns and does not depend on the view, which its owner may drop or replace meanwhile.
DO $reader$
BEGIN
    DROP FUNCTION IF EXISTS {function}();
    EXECUTE (
        SELECT pg_catalog.format(
            'CREATE FUNCTION %s() RETURNS TABLE (%s) LANGUAGE sql STABLE SECURITY DEFINER AS %L',
            {function_name},
            pg_catalog.string_agg(pg_catalog.format('%I %s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)), ', '
                                  ORDER BY a.attnum),
            'SELECT ' || pg_catalog.string_agg(pg_catalog.format('s.%I', a.attname), ', ' ORDER BY a.attnum) || ' FROM ' || {relation_name} || ' AS s')
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = {relation_name}::pg_catalog.regclass AND a.attnum > 0 AND NOT a.attisdropped
    );
    ALTER FUNCTION {function}() OWNER TO {owner};
END
$reader$;
