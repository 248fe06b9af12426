-- imgvec.embed_image(collection, image): the vector of an encoded picture (JPEG, PNG, ...), made by a running worker
-- through imgvec.ask_worker, as embed_text. It is not cached: an uploaded picture is seldom asked with twice, and a
-- table of what people searched with is nobody's wish; who asks again keeps the vector.
CREATE OR REPLACE FUNCTION imgvec.embed_image(collection text, image bytea) RETURNS {vector}.halfvec
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    asked_model integer;
    -- As the table imgvec.embedding_request has it.
    max_bytes CONSTANT integer := 33554432;
    spans_shards boolean := false;
BEGIN
    {spans_shards}
    IF spans_shards THEN
        RETURN imgvec.vector_from_shards($1, format('imgvec.embed_image(%L, %L)', $1, $2));
    END IF;
    SELECT c.model_id INTO asked_model FROM imgvec.collection AS c
    WHERE c.name = $1 OR c.id = (SELECT a.collection_id FROM imgvec.alias AS a WHERE a.name = $1);
    IF NOT FOUND THEN
        {refuse_collection}
    ELSIF $2 IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'the picture is NULL',
            HINT = 'Pass the bytes of a picture file; a NULL query would match arbitrary rows.';
    ELSIF octet_length($2) NOT BETWEEN 1 AND max_bytes THEN
        RAISE program_limit_exceeded USING
            MESSAGE = format('the picture has %s bytes, expected 1 to %s', octet_length($2), max_bytes),
            HINT = CASE WHEN octet_length($2) = 0 THEN 'Pass the bytes of a picture file.'
                ELSE 'Models see a few hundred pixels: make it smaller.' END;
    END IF;
    RETURN imgvec.ask_worker(asked_model, NULL, $2);
END
$function$;
COMMENT ON FUNCTION imgvec.embed_image(text, bytea) IS
    'Vector of an encoded picture by a collection''s model, made by a running imgvec worker.';
REVOKE ALL ON FUNCTION imgvec.embed_image(text, bytea) FROM PUBLIC;
