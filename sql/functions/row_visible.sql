-- imgvec.row_visible(collection_id, key): whether the role that asks sees this row of a collection's source. It is asked of
-- the source itself, as that role: so row-level security answers. STABLE.
CREATE FUNCTION imgvec.row_visible(collection_id integer, key jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    wanted imgvec.collection;
    is_visible boolean;
BEGIN
    SELECT c.* INTO wanted FROM imgvec.collection AS c WHERE c.id = $1;
    EXECUTE format(
        'SELECT EXISTS (SELECT FROM jsonb_to_record($1) AS k(%s) JOIN %s AS s ON %s)',
        (SELECT string_agg(format('%I %s', c, t), ', ') FROM unnest(wanted.key_columns, wanted.key_types) AS u(c, t)),
        wanted.source,
        (SELECT string_agg(format('s.%1$I OPERATOR(%2$I.=) k.%1$I', c, s), ' AND ')
         FROM unnest(wanted.key_columns, wanted.key_equality_schemas) AS u(c, s))
    ) INTO is_visible USING $2;
    RETURN is_visible;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.row_visible(integer, jsonb) FROM PUBLIC;
