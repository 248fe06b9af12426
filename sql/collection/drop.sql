-- All that belongs to one collection; the triggers are dropped first, table by table (drop_triggers.sql).
DELETE FROM imgvec.collection WHERE id = {collection_id};
DELETE FROM imgvec.job WHERE collection_id = {collection_id};
DELETE FROM imgvec.failure WHERE collection_id = {collection_id};
DELETE FROM imgvec.unseen_change WHERE collection_id = {collection_id};
DELETE FROM imgvec.worker WHERE collection_id = {collection_id};
DO $functions$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN
        SELECT p.oid FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'imgvec'::regnamespace AND regexp_replace(p.proname, '^superseded_', '') = ANY ({function_names}::text[] || {trigger_function_names}::text[])
        ORDER BY starts_with(p.proname, 'superseded_') DESC
    LOOP
        EXECUTE format('DROP FUNCTION %s', routine);
    END LOOP;
END
$functions$;
{drop_unfinished}
DROP TABLE IF EXISTS imgvec.{picture_table};
DROP TABLE IF EXISTS imgvec.{embedding_table};
DROP TABLE IF EXISTS imgvec.{coordinate_table};
DROP TABLE IF EXISTS imgvec.{axis_table};
DROP FUNCTION IF EXISTS imgvec.{on_coordinates}();
DROP FUNCTION IF EXISTS imgvec.{on_picture}();
DROP FUNCTION IF EXISTS imgvec.{on_unknown_picture}();
DROP TYPE IF EXISTS imgvec.{key_type};
