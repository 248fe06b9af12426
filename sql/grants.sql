-- What the two roles may do with the library's own tables. Nothing is granted to PUBLIC.
DO $grants$
BEGIN
    IF to_regrole('imgvec_reader') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA imgvec TO imgvec_reader;
        GRANT SELECT ON imgvec.image, imgvec.model, imgvec.collection, imgvec.alias, imgvec.text_embedding,
            imgvec.calibration, imgvec.golden_vector, imgvec.status, imgvec.failures TO imgvec_reader;
        -- For imgvec.prepare_text. Nothing to write, and not other people's pictures to read.
        GRANT SELECT (id, expires_at, answered_at, error, note) ON imgvec.embedding_request TO imgvec_reader;
        -- Whether a worker has the model, which the clients look at before they ask one.
        GRANT SELECT (collection_id, activity, seen_at) ON imgvec.worker TO imgvec_reader;
        IF to_regclass('imgvec.noted_pictures') IS NOT NULL THEN
            GRANT SELECT ON imgvec.noted_pictures TO imgvec_reader;
        END IF;
        IF to_regclass('imgvec.duplicate_decision') IS NOT NULL THEN
            GRANT SELECT (content_hash, other_content_hash, decision) ON imgvec.duplicate_decision TO imgvec_reader;
        END IF;
        -- Comes with revision 0010.
        IF to_regclass('imgvec.shard') IS NOT NULL THEN
            GRANT SELECT ON imgvec.shard, imgvec.sharded_collection TO imgvec_reader;
        END IF;
        -- An application's own Alembic tree keeps its versions elsewhere.
        IF to_regclass('imgvec.alembic_version') IS NOT NULL THEN
            GRANT SELECT ON imgvec.alembic_version TO imgvec_reader;
        END IF;
    END IF;
    IF to_regrole('imgvec_worker') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA imgvec TO imgvec_worker;
        GRANT SELECT ON imgvec.image, imgvec.model, imgvec.collection, imgvec.alias, imgvec.status, imgvec.failures
            TO imgvec_worker;
        GRANT UPDATE (fingerprint, weights_sha256, logit_scale, logit_bias, images_per_second) ON imgvec.model TO imgvec_worker;
        GRANT UPDATE (listing_after, listed_at) ON imgvec.collection TO imgvec_worker;
        GRANT SELECT, INSERT, UPDATE, DELETE
            ON imgvec.job, imgvec.failure, imgvec.worker, imgvec.text_embedding, imgvec.embedding_request
            TO imgvec_worker;
        GRANT SELECT, INSERT, UPDATE ON imgvec.calibration TO imgvec_worker;
        GRANT SELECT, INSERT ON imgvec.golden_vector TO imgvec_worker;
        -- Comes with revision 0002.
        IF to_regclass('imgvec.unseen_change') IS NOT NULL THEN
            GRANT SELECT, DELETE ON imgvec.unseen_change TO imgvec_worker;
            GRANT UPDATE (partitions_seen) ON imgvec.collection TO imgvec_worker;
        END IF;
        -- Comes with revision 0004.
        IF to_regclass('imgvec.noted_pictures') IS NOT NULL THEN
            GRANT SELECT ON imgvec.noted_pictures TO imgvec_worker;
            GRANT UPDATE (rendering, rendering_since, rendering_from, rendering_after) ON imgvec.collection TO imgvec_worker;
        END IF;
        -- Comes with revision 0005; who decided, and when, is not for readers.
        IF to_regclass('imgvec.duplicate_decision') IS NOT NULL THEN
            GRANT SELECT, INSERT, UPDATE, DELETE ON imgvec.duplicate_decision TO imgvec_worker;
        END IF;
        -- Comes with revision 0010.
        IF to_regclass('imgvec.shard') IS NOT NULL THEN
            GRANT SELECT ON imgvec.shard, imgvec.sharded_collection TO imgvec_worker;
        END IF;
        IF to_regclass('imgvec.alembic_version') IS NOT NULL THEN
            GRANT SELECT ON imgvec.alembic_version TO imgvec_worker;
        END IF;
    END IF;
END
$grants$;
DO $functions$
DECLARE
    routine regprocedure;
    role_name regrole;
BEGIN
    FOREACH role_name IN ARRAY ARRAY[to_regrole('imgvec_reader'), to_regrole('imgvec_worker')] LOOP
        CONTINUE WHEN role_name IS NULL;
        FOR routine IN
            SELECT p.oid FROM pg_catalog.pg_proc AS p
            WHERE p.pronamespace = 'imgvec'::regnamespace AND p.proname = ANY (ARRAY[
                'embedding_of', 'find_embedding', 'last_search_strategy', 'search_state',
                'text_query', 'text_timeout_ms', 'text_request_limit', 'requests_waiting', 'enqueue_request', 'raise_no_answer', 'ask_worker',
                'embed_text', 'embed_image', 'prepare_text',
                'unit_embedding', 'embeddings_of', 'mean_embedding', 'preference', 'combine', 'similarity_matrix', 'fuse',
                'cosine_distance', 'label_probabilities', 'embed_labels', 'calibration_of', 'percentile', 'distance_at',
                'source_hides_rows', 'source_is_open', 'refuse_open', 'rows_visible', 'row_visible', 'embedding_rows', 'index_state', 'within_radius', 'within_found', 'within_place'])
        LOOP
            EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %s', routine, role_name);
        END LOOP;
    END LOOP;
    IF to_regrole('imgvec_worker') IS NOT NULL THEN
        GRANT EXECUTE ON FUNCTION imgvec.evict_texts(interval, bigint) TO imgvec_worker;
        FOR routine IN
            SELECT p.oid FROM pg_catalog.pg_proc AS p
            WHERE p.pronamespace = 'imgvec'::regnamespace AND p.proname = ANY (ARRAY[
                'content_hash_of', 'decide_duplicate_content', 'decide_duplicate', 'decide_duplicate_group'])
        LOOP
            EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO imgvec_worker', routine);
        END LOOP;
    END IF;
END
$functions$;
