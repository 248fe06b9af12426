-- Keep a collection's coordinates in step with its embedding table, whoever writes that, in the same transaction.
-- The foreign key runs it within the application's own DELETE, TRUNCATE and change of a key: nothing that is parsed there may name the
-- schema of the extension as it was, which ALTER EXTENSION changes. Where it has, a statement made for where it is now does the same.
CREATE OR REPLACE FUNCTION imgvec.{on_coordinates}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $trigger$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE imgvec.{coordinate_table};
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        -- EXECUTE: a plan that is kept would be that of the session's first statement, of one row or of all.
        EXECUTE $statement$ DELETE FROM imgvec.{coordinate_table} AS c USING old_rows AS d WHERE {c_equals_d} $statement$;
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM new_rows) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        EXECUTE $statement$ DELETE FROM imgvec.{coordinate_table} AS c USING old_rows AS d
        WHERE {c_equals_d} AND NOT EXISTS (SELECT FROM new_rows AS v WHERE {v_equals_d}) $statement$;
    END IF;
    IF NOT EXISTS (SELECT FROM imgvec.{axis_table}) THEN
        RAISE serialization_failure USING MESSAGE = 'the radius index was begun after this transaction took its snapshot',
            HINT = 'Begin the transaction again.';
    END IF;
    IF to_regtype({halfvec}) IS NOT NULL THEN
        {insert_coordinates};
    ELSIF EXISTS (SELECT FROM pg_catalog.pg_extension AS x WHERE x.extname = 'vector') THEN
        EXECUTE replace($statement$ {insert_coordinates_elsewhere} $statement$, {elsewhere}, (
            SELECT quote_ident(n.nspname)
            FROM pg_catalog.pg_extension AS x JOIN pg_catalog.pg_namespace AS n ON n.oid = x.extnamespace WHERE x.extname = 'vector'
        ));
    END IF;
    RETURN NULL;
END
$trigger$;
REVOKE ALL ON FUNCTION imgvec.{on_coordinates}() FROM PUBLIC;
CREATE OR REPLACE TRIGGER imgvec_coordinates_insert AFTER INSERT ON imgvec.{embedding_table}
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION imgvec.{on_coordinates}();
CREATE OR REPLACE TRIGGER imgvec_coordinates_update AFTER UPDATE ON imgvec.{embedding_table}
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION imgvec.{on_coordinates}();
CREATE OR REPLACE TRIGGER imgvec_coordinates_delete AFTER DELETE ON imgvec.{embedding_table}
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION imgvec.{on_coordinates}();
CREATE OR REPLACE TRIGGER imgvec_coordinates_truncate AFTER TRUNCATE ON imgvec.{embedding_table}
    FOR EACH STATEMENT EXECUTE FUNCTION imgvec.{on_coordinates}();
