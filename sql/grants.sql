-- What the two roles may do with the library's own tables. Nothing is granted to PUBLIC.
DO $grants$
BEGIN
    IF to_regrole('imgvec_reader') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA imgvec TO imgvec_reader;
        GRANT SELECT ON imgvec.image, imgvec.model, imgvec.collection, imgvec.alias, imgvec.text_embedding
            TO imgvec_reader;
        -- An application's own Alembic tree keeps its versions elsewhere.
        IF to_regclass('imgvec.alembic_version') IS NOT NULL THEN
            GRANT SELECT ON imgvec.alembic_version TO imgvec_reader;
        END IF;
    END IF;
    IF to_regrole('imgvec_worker') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA imgvec TO imgvec_worker;
        GRANT SELECT ON imgvec.image, imgvec.model, imgvec.collection, imgvec.alias TO imgvec_worker;
        GRANT UPDATE (fingerprint, logit_scale, logit_bias, images_per_second) ON imgvec.model TO imgvec_worker;
        GRANT UPDATE (listing_after, listed_at) ON imgvec.collection TO imgvec_worker;
        GRANT SELECT, INSERT, UPDATE, DELETE
            ON imgvec.job, imgvec.failure, imgvec.worker, imgvec.text_embedding TO imgvec_worker;
        IF to_regclass('imgvec.alembic_version') IS NOT NULL THEN
            GRANT SELECT ON imgvec.alembic_version TO imgvec_worker;
        END IF;
    END IF;
END
$grants$;
DO $functions$
DECLARE
    role_name regrole;
BEGIN
    FOREACH role_name IN ARRAY ARRAY[to_regrole('imgvec_reader'), to_regrole('imgvec_worker')] LOOP
        CONTINUE WHEN role_name IS NULL;
        EXECUTE format(
            'GRANT EXECUTE ON FUNCTION imgvec.embedding_of(text, anyelement), imgvec.embedding_of(text, text), imgvec.last_search_way() TO %s',
            role_name);
    END LOOP;
END
$functions$;
