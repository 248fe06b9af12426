-- Whether a table of the schema imgvec has row-level security enabled.
SELECT c.relrowsecurity FROM pg_class AS c
WHERE c.relnamespace = 'imgvec'::regnamespace::oid AND c.relname = %(table)s;
