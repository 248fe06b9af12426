-- imgvec.similarity_matrix(collection, keys): the cosine similarity (1 to -1) of each of up to 500 rows with each, row by
-- row in the keys' order. The keys come back as they were given. A key without a vector raises. STABLE.
CREATE OR REPLACE FUNCTION imgvec.similarity_matrix(collection text, keys anyarray)
RETURNS TABLE (row_key anyelement, column_key anyelement, similarity double precision)
LANGUAGE plpgsql STABLE ROWS 2500
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    embeddings {vector}.halfvec[] := imgvec.embeddings_of($1, to_jsonb($2), 500);
    before_first integer := array_lower($2, 1) - 1;
BEGIN
    RETURN QUERY
    -- By subscript: unnest() would take composite keys apart.
    SELECT $2[before_first + r.position], $2[before_first + c.position],
           1 - (r.embedding OPERATOR({vector}.<=>) c.embedding)
    FROM unnest(embeddings) WITH ORDINALITY AS r(embedding, position)
    CROSS JOIN unnest(embeddings) WITH ORDINALITY AS c(embedding, position)
    ORDER BY r.position, c.position;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.similarity_matrix(text, anyarray) FROM PUBLIC;
