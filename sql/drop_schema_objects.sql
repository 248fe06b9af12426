-- Undo 0001. Collections are dropped first: their triggers would fail in the application's own statements.
DO $empty$
BEGIN
    IF EXISTS (SELECT FROM imgvec.collection) THEN
        RAISE EXCEPTION 'there are collections still: %', (SELECT string_agg(c.name, ', ' ORDER BY c.name) FROM imgvec.collection AS c)
            USING HINT = 'Drop them first: imgvec collection drop NAME';
    END IF;
END
$empty$;
DROP FUNCTION imgvec.embed_text(text, text);
DROP FUNCTION imgvec.text_question(text, text);
DROP FUNCTION imgvec.embedding_of(text, text);
DROP FUNCTION imgvec.embedding_of(text, anyelement);
DROP FUNCTION imgvec.percentile(text, double precision, text);
DROP FUNCTION imgvec.distance_at(text, double precision, text);
DROP FUNCTION imgvec.calibration_of(text, text);
DROP FUNCTION imgvec.embed_labels(text, text[]);
DROP FUNCTION imgvec.label_probabilities(double precision[], double precision, double precision);
DROP FUNCTION imgvec.fuse(anyarray, anyarray, integer);
DROP FUNCTION imgvec.similarity_matrix(text, anyarray);
DROP FUNCTION imgvec.combine;
DROP FUNCTION imgvec.preference(text, anyarray, anyarray, double precision);
DROP FUNCTION imgvec.mean_embedding(text, anyarray);
DROP FUNCTION imgvec.embeddings_of(text, jsonb, integer, boolean);
DROP FUNCTION imgvec.unit_embedding;
DROP TABLE imgvec.calibration;
DROP TABLE imgvec.worker, imgvec.text_embedding, imgvec.failure, imgvec.job, imgvec.alias, imgvec.collection,
    imgvec.model, imgvec.image;
DROP SEQUENCE imgvec.version_seq;
