-- Rows that an index held when it was built.
SELECT greatest(k.reltuples, 0)::bigint FROM pg_class AS k
WHERE k.relnamespace = 'imgvec'::regnamespace::oid AND k.relname = %(index)s;
