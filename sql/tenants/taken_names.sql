-- Names of relations in the schema imgvec that begin so.
SELECT c.relname::text FROM pg_class AS c WHERE c.relnamespace = 'imgvec'::regnamespace AND starts_with(c.relname, %(prefix)s);
