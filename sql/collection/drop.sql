-- All that belongs to one collection; the triggers are dropped first, table by table (drop_triggers.sql).
DELETE FROM imgvec.collection WHERE id = {collection_id};
DELETE FROM imgvec.job WHERE collection_id = {collection_id};
DELETE FROM imgvec.failure WHERE collection_id = {collection_id};
DELETE FROM imgvec.worker WHERE collection_id = {collection_id};
DROP FUNCTION IF EXISTS imgvec.{near}, imgvec.{near_row}, imgvec.{search};
DROP FUNCTION IF EXISTS imgvec.{on_insert}, imgvec.{on_update}, imgvec.{on_delete}, imgvec.{on_truncate};
DROP TABLE IF EXISTS imgvec.{embedding_table};
DROP TYPE IF EXISTS imgvec.{key_type};
