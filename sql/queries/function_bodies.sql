-- Names and bodies of the functions in the schema imgvec whose bodies are text.
SELECT p.proname::text, p.prosrc
FROM pg_catalog.pg_proc AS p
WHERE p.pronamespace = 'imgvec'::pg_catalog.regnamespace::oid AND p.prosqlbody IS NULL;
