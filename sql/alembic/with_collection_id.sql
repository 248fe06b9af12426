-- Statements that name a collection's id, where it is not known when they are written: it stands in them as a number of its own.
DO $imgvec_migration$
DECLARE
    found_id integer;
BEGIN
    {before}
    SELECT c.id INTO found_id FROM imgvec.collection AS c WHERE c.name = {collection_name};
    IF found_id IS NULL THEN
        RAISE EXCEPTION 'collection "%" does not exist', {collection_name} USING HINT = 'SELECT name FROM imgvec.collection lists those that do.';
    END IF;
    EXECUTE pg_catalog.replace({script}, {placeholder}, found_id::text);
END
$imgvec_migration$;
