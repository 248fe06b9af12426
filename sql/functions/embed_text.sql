-- imgvec.embed_text(collection, words): the vector of words, made by the collection's model from the collection's
-- prompt; from the cache, or else by a running worker. Raises rather than return NULL, which would match arbitrary rows.
CREATE FUNCTION imgvec.embed_text(collection text, words text) RETURNS {vector}.halfvec
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    question record;
    found_embedding {vector}.halfvec;
BEGIN
    SELECT q.model_id, q.prompted INTO question FROM imgvec.text_question($1, $2) AS q;
    SELECT t.embedding INTO found_embedding
    FROM imgvec.text_embedding AS t WHERE t.model_id = question.model_id AND t.text = question.prompted;
    IF found_embedding IS NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('the words "%s" have not been embedded yet', left($2, 80)),
            HINT = 'imgvec search embeds them.';
    END IF;
    RETURN found_embedding;
END
$function$;
COMMENT ON FUNCTION imgvec.embed_text(text, text) IS
    'Vector of words by a collection''s model: from the cache, or from a running imgvec worker.';
REVOKE ALL ON FUNCTION imgvec.embed_text(text, text) FROM PUBLIC;
