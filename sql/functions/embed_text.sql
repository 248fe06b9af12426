-- imgvec.embed_text(collection, words): the vector of words, made by the collection's model from the collection's
-- prompt: from the cache, else by a running worker, whose answer then stays in the cache.
-- A NOTICE tells of words longer than the model reads. Raises rather than return NULL, which would match arbitrary rows.
CREATE OR REPLACE FUNCTION imgvec.embed_text(collection text, words text) RETURNS {vector}.halfvec
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    question record;
    found_embedding {vector}.halfvec;
    found_note text;
    spans_shards boolean := false;
BEGIN
    {spans_shards}
    IF spans_shards THEN
        RETURN imgvec.vector_from_shards($1, format('imgvec.embed_text(%L, %L)', $1, $2));
    END IF;
    SELECT q.model_id, q.prompted INTO question FROM imgvec.text_query($1, $2) AS q;
    SELECT t.embedding, t.note INTO found_embedding, found_note
    FROM imgvec.text_embedding AS t WHERE t.model_id = question.model_id AND t.text = question.prompted;
    IF FOUND THEN
        IF found_note IS NOT NULL THEN
            RAISE NOTICE USING MESSAGE = found_note;
        END IF;
        RETURN found_embedding;
    END IF;
    RETURN imgvec.ask_worker(question.model_id, question.prompted, NULL);
END
$function$;
COMMENT ON FUNCTION imgvec.embed_text(text, text) IS
    'Vector of words by a collection''s model: from the cache, or from a running imgvec worker.';
REVOKE ALL ON FUNCTION imgvec.embed_text(text, text) FROM PUBLIC;
