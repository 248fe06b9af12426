-- The triggers of a collection, wherever they are.
DO $triggers$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT t.tgname AS name, t.tgrelid::regclass AS place FROM pg_catalog.pg_trigger AS t
        WHERE t.tgname = ANY ({trigger_names}::text[]) AND NOT t.tgisinternal AND t.tgparentid = 0
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', made.name, made.place);
    END LOOP;
END
$triggers$;
