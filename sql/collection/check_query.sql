-- The checks that begin each function of a query vector ($1) and a number of rows k ($2, 1 to 10,000); k_hint is the function's own.
IF $1 IS NULL THEN
    RAISE null_value_not_allowed USING MESSAGE = 'the query vector is NULL',
        HINT = 'Pass a vector; a row that is not embedded yet has none.';
END IF;
IF {vector}.vector_dims($1) <> {dimensions} THEN
    RAISE invalid_parameter_value USING
        MESSAGE = format('the query vector has %s dimensions, the collection {dimensions}', {vector}.vector_dims($1)),
        HINT = 'Embed the query with the collection''s own model.';
END IF;
IF {vector}.l2_norm($1) = 0 THEN
    RAISE invalid_parameter_value USING MESSAGE = 'the query vector is zero, which is equally far from all',
        HINT = 'Pass a vector that has a direction.';
END IF;
IF $2 IS NULL OR $2 < 1 OR $2 > 10000 THEN
    RAISE invalid_parameter_value USING MESSAGE = format('k must be 1 to 10000, not %s', coalesce($2::text, 'NULL')),
        HINT = k_hint;
END IF;
