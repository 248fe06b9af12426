-- imgvec.within_found(row_count, most, distance): true where no more rows were found than a caller of within_at_most_<collection> allows; else it raises
-- with their number. IMMUTABLE.
CREATE OR REPLACE FUNCTION imgvec.within_found(row_count bigint, most integer, distance double precision) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF most IS NULL OR most < 1 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('most is %s; expected 1 or more', coalesce(most::text, 'NULL'));
    END IF;
    IF row_count > most THEN
        RAISE program_limit_exceeded USING
            MESSAGE = format('%s rows are within the distance %s; expected at most %s', row_count, distance, most),
            HINT = 'Lower the distance, or raise the third argument.';
    END IF;
    RETURN true;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.within_found(bigint, integer, double precision) FROM PUBLIC;
