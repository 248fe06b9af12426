-- Keep the pictures of a collection in step with its embedding table, whoever writes that.
-- No trigger takes pictures away: what no row needs is removed later, in small steps (tidy_pictures.sql), which holds this lock alone, so
-- that no picture goes while a row comes that needs it.
CREATE OR REPLACE FUNCTION imgvec.{on_picture}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $trigger$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1768777079, {collection_id});
    INSERT INTO imgvec.{picture_table} (content_hash, embedding)
    SELECT n.content_hash, n.embedding FROM new_rows AS n
    -- In this order, so that two writers never wait for each other crosswise.
    ORDER BY n.content_hash
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$trigger$;
-- Who writes a vector of unknown bytes says '': here it gets a name of its own.
CREATE OR REPLACE FUNCTION imgvec.{on_unknown_picture}() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $trigger$
BEGIN
    NEW.content_hash := decode('00', 'hex') || sha256({vector}.halfvec_send(NEW.embedding));
    RETURN NEW;
END
$trigger$;
REVOKE ALL ON FUNCTION imgvec.{on_picture}(), imgvec.{on_unknown_picture}() FROM PUBLIC;
-- Not where a foreign key changes a key alone: within the application's own statement nothing may fail, wherever the extension is.
CREATE OR REPLACE TRIGGER imgvec_unknown_picture BEFORE INSERT OR UPDATE OF embedding, content_hash ON imgvec.{embedding_table}
    FOR EACH ROW WHEN (octet_length(NEW.content_hash) IN (0, 33)) EXECUTE FUNCTION imgvec.{on_unknown_picture}();
CREATE OR REPLACE TRIGGER imgvec_picture_insert AFTER INSERT ON imgvec.{embedding_table}
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION imgvec.{on_picture}();
CREATE OR REPLACE TRIGGER imgvec_picture_update AFTER UPDATE ON imgvec.{embedding_table}
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION imgvec.{on_picture}();
