-- Names of all functions in the schema imgvec.
SELECT DISTINCT p.proname::text FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'imgvec'::pg_catalog.regnamespace::oid;
