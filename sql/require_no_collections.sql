-- Refuse to undo the schema while there are collections: their triggers would fail in the application's own statements.
DO $empty$
BEGIN
    IF EXISTS (SELECT FROM imgvec.collection) THEN
        RAISE EXCEPTION 'there are collections still: %', (SELECT string_agg(c.name, ', ' ORDER BY c.name) FROM imgvec.collection AS c)
            USING HINT = 'Drop them first: imgvec collection drop NAME';
    END IF;
END
$empty$;
