-- The triggers of a collection, wherever they are.
DO $triggers$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT t.tgname AS name, t.tgrelid::regclass AS place FROM pg_catalog.pg_trigger AS t
        WHERE t.tgname = ANY ({trigger_names}::text[]) AND NOT t.tgisinternal AND t.tgparentid = 0
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', found.name, found.place);
    END LOOP;
END
$triggers$;
