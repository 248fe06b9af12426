-- Statement-level triggers with transition tables, on the source and on each of its partitions: PostgreSQL
-- fires those of the table that the statement names.
CREATE TRIGGER {insert_trigger} AFTER INSERT ON {table}
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION imgvec.{on_insert}();
CREATE TRIGGER {update_trigger} AFTER UPDATE ON {table}
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION imgvec.{on_update}();
CREATE TRIGGER {delete_trigger} AFTER DELETE ON {table}
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION imgvec.{on_delete}();
CREATE TRIGGER {truncate_trigger} AFTER TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION imgvec.{on_truncate}();
