-- Whether a collection's map is there, whole, and whether this role may fill its tables.
SELECT count(*) = cardinality(%(names)s::name[]),
       coalesce(bool_and(has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'DELETE'))
                FILTER (WHERE c.relkind = 'r'), false)
FROM pg_catalog.pg_class AS c
WHERE c.relnamespace = 'imgvec'::regnamespace AND c.relname = ANY (%(names)s::name[]) AND c.relkind IN ('r', 'v')
