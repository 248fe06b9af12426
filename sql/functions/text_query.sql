-- imgvec.text_query(collection, words): what is asked of a model when these words are searched for in a collection
-- (or alias): the model, and the text that the collection's prompt makes of the words. Raises for what no model takes.
CREATE FUNCTION imgvec.text_query(collection text, words text, OUT model_id integer, OUT prompted text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    asked record;
    -- As the table imgvec.text_embedding has it.
    max_bytes CONSTANT integer := 2000;
BEGIN
    SELECT c.model_id, c.prompt, m.name, m.has_text INTO asked
    FROM imgvec.collection AS c JOIN imgvec.model AS m ON m.id = c.model_id
    WHERE c.name = $1 OR c.id = (SELECT a.collection_id FROM imgvec.alias AS a WHERE a.name = $1);
    IF NOT FOUND THEN
        {refuse_collection}
    ELSIF NOT asked.has_text THEN
        RAISE feature_not_supported USING
            MESSAGE = format('the model %s of collection "%s" has no text tower', asked.name, $1),
            HINT = 'Ask with a row (near_*_row) or a picture (imgvec.embed_image), or use a CLIP or SigLIP model.';
    ELSIF $2 IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'the words are NULL',
            HINT = 'Pass words such as ''red leather shoes''; a NULL query would match arbitrary rows.';
    ELSIF $2 !~ '[^[:space:]]' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'the words are empty',
            HINT = 'Pass words such as ''red leather shoes''.';
    END IF;
    model_id := asked.model_id;
    -- Measured first: a long text times a prompt with many {{}} would fill the memory.
    IF octet_length($2) <= max_bytes THEN
        prompted := replace(asked.prompt, '{{}}', $2);
    END IF;
    IF prompted IS NULL OR octet_length(prompted) > max_bytes THEN
        RAISE program_limit_exceeded USING
            MESSAGE = format('the words have %s bytes; with the collection''s prompt at most %s can be searched for',
                             octet_length($2), max_bytes),
            HINT = 'Shorten them: no text tower reads more than a few hundred characters.';
    END IF;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.text_query(text, text) FROM PUBLIC;
