-- imgvec.duplicates_of_<collection>(key, max_distance, most): the other rows within a cosine distance of one row, nearest first;
-- at most `most`, 1 to 1,000. The index is read for `most` rows and no further, however few are that near. A row without
-- a vector raises. VOLATILE as search_* is.
CREATE FUNCTION imgvec.{duplicates_of}({key_parameters}, max_distance double precision, most integer DEFAULT 100)
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $duplicates$
#variable_conflict use_column
DECLARE
    row_embedding {vector}.halfvec;
BEGIN
    IF max_distance IS NULL OR NOT max_distance BETWEEN 0 AND 2 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('the largest distance is %s; expected 0 to 2', coalesce(max_distance::text, 'NULL')),
            HINT = 'imgvec.distance_at(collection, percentile) gives one that suits the model.';
    END IF;
    IF most IS NULL OR most < 1 OR most > 1000 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('most must be 1 to 1000, not %s', coalesce(most::text, 'NULL')),
            HINT = 'More rows than that are no duplicates: lower the distance.';
    END IF;
    SELECT o.embedding INTO row_embedding FROM imgvec.{embedding_table} AS o WHERE {o_keys_equal_parameters};
    IF NOT FOUND THEN
        RAISE no_data_found USING MESSAGE = format('collection "%s" has no embedding for this key', {collection_name}),
            HINT = 'The row may be queued, failed or gone: see imgvec status and imgvec failures.';
    END IF;
    RETURN QUERY
    SELECT {n_keys}, n.distance FROM imgvec.{search}(row_embedding, most + 1) AS n
    WHERE n.distance <= max_distance AND NOT ({n_keys_equal_parameters})
    ORDER BY n.distance, {n_keys}
    LIMIT most;
END
$duplicates$;
