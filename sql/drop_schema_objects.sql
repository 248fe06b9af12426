-- Undo 0001. Collections are dropped first: their triggers would fail in the application's own statements.
DO $empty$
BEGIN
    IF EXISTS (SELECT FROM imgvec.collection) THEN
        RAISE EXCEPTION 'there are collections still: %', (SELECT string_agg(c.name, ', ' ORDER BY c.name) FROM imgvec.collection AS c)
            USING HINT = 'Drop them first: imgvec collection drop NAME';
    END IF;
END
$empty$;
-- Not of a migration, but of no use without one (`imgvec words setup`).
DROP FUNCTION IF EXISTS imgvec.relay_request(integer, text, bytea, integer);
DROP PROCEDURE imgvec.prepare_text(text, text);
DROP FUNCTION imgvec.evict_texts(interval, bigint);
DROP FUNCTION imgvec.embed_image(text, bytea);
DROP FUNCTION imgvec.embed_text(text, text);
DROP FUNCTION imgvec.ask_worker(integer, text, bytea);
DROP FUNCTION imgvec.raise_no_answer(integer, text, integer);
DROP FUNCTION imgvec.file_request(integer, text, bytea, integer);
DROP FUNCTION imgvec.too_many_requests();
DROP FUNCTION imgvec.text_timeout_ms();
DROP FUNCTION imgvec.text_question(text, text);
DROP FUNCTION imgvec.embedding_of(text, text);
DROP FUNCTION imgvec.embedding_of(text, anyelement);
DROP TABLE imgvec.embedding_request, imgvec.worker, imgvec.text_embedding, imgvec.failure, imgvec.job, imgvec.alias, imgvec.collection,
    imgvec.model, imgvec.image;
DROP SEQUENCE imgvec.version_seq;
