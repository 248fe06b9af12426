-- Keep a collection's coordinates in step with its embedding table, whoever writes that, in the same transaction.
-- Axes as an array variable: PostgreSQL takes its elements in one step each. In the order of keys, so that two writers do not wait crosswise.
CREATE OR REPLACE FUNCTION imgvec.{on_coordinates}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $trigger$
DECLARE
    imgvec_axes {vector}.halfvec[];
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
    imgvec_axes := ARRAY(SELECT a.axis FROM imgvec.{axis_table} AS a ORDER BY a.number);
    IF cardinality(imgvec_axes) = 0 THEN
        RAISE serialization_failure USING MESSAGE = 'the radius index was begun after this transaction took its snapshot',
            HINT = 'Begin the transaction again.';
    END IF;
    INSERT INTO imgvec.{coordinate_table} AS c ({keys}, {coordinates_column})
    SELECT {e_keys}, ARRAY[{products}]::{vector}.halfvec
    FROM (SELECT {v_keys}, v.embedding, {vector}.l2_norm(v.embedding) AS imgvec_norm FROM new_rows AS v ORDER BY {v_keys}) AS e
    ON CONFLICT ({keys}) DO UPDATE SET {coordinates_column} = EXCLUDED.{coordinates_column};
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
