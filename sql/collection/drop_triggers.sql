DROP TRIGGER IF EXISTS {insert_trigger} ON {table};
DROP TRIGGER IF EXISTS {update_trigger} ON {table};
DROP TRIGGER IF EXISTS {delete_trigger} ON {table};
DROP TRIGGER IF EXISTS {truncate_trigger} ON {table};
