-- imgvec.outliers_<collection>(k, among): the k rows least like the rest, by cosine distance to the mean of all rows, or of those among
-- the given keys: pictures in the wrong category come first where among is a category. Compares all of these rows. k is 1 to
-- 10,000; a NULL among raises. Of rows whose mean is zero none is an outlier: no row. STABLE.
{create} imgvec.{outliers}(k integer DEFAULT 10, among {among_type}[] DEFAULT {all_rows})
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $outliers$
#variable_conflict use_column
DECLARE
    is_filtered boolean;
    middle {vector}.vector;
BEGIN
    {check_among}
    IF $1 IS NULL OR $1 < 1 OR $1 > 10000 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('k must be 1 to 10000, not %s', coalesce($1::text, 'NULL')),
            HINT = 'Ask for the rows that somebody looks at.';
    END IF;
    IF is_filtered THEN
        SELECT {vector}.avg(e.embedding::{vector}.vector) INTO middle FROM imgvec.{embedding_table} AS e WHERE {e_key_among_2};
    ELSE
        SELECT {vector}.avg(e.embedding::{vector}.vector) INTO middle FROM imgvec.{embedding_table} AS e;
    END IF;
    IF middle IS NULL OR {vector}.vector_norm(middle) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT {e_keys}, e.embedding::{vector}.vector OPERATOR({vector}.<=>) middle AS distance
    FROM imgvec.{embedding_table} AS e
    WHERE NOT is_filtered OR {e_key_among_2}
    ORDER BY (e.embedding::{vector}.vector OPERATOR({vector}.<=>) middle) DESC, {e_keys}
    LIMIT $1;
END
$outliers$;
COMMENT ON FUNCTION imgvec.{outliers}(integer, {among_type}[]) IS
    'The k rows least like the rest, by cosine distance (0 to 2) to the mean of all, or of the given keys.';
