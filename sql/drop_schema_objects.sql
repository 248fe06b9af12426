-- Undo 0001. Collections are dropped first: their triggers would fail in the application's own statements.
DO $empty$
BEGIN
    IF EXISTS (SELECT FROM imgvec.collection) THEN
        RAISE EXCEPTION 'there are collections still: %', (SELECT string_agg(c.name, ', ' ORDER BY c.name) FROM imgvec.collection AS c)
            USING HINT = 'Drop them first: imgvec collection drop NAME';
    END IF;
END
$empty$;
DROP FUNCTION imgvec.last_search_way();
DROP FUNCTION imgvec.embedding_of(text, text);
DROP FUNCTION imgvec.embedding_of(text, anyelement);
DROP TABLE imgvec.worker, imgvec.text_embedding, imgvec.failure, imgvec.job, imgvec.alias, imgvec.collection,
    imgvec.model, imgvec.image;
DROP SEQUENCE imgvec.version_seq;
