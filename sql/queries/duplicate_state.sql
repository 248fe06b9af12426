-- Whether the schema has decisions yet, whether a collection's relations of duplicates are there, whether this role may fill them, and
-- whether all of its tables are there, as this version makes them.
SELECT to_regclass('imgvec.duplicate_decision') IS NOT NULL,
       EXISTS (SELECT FROM pg_catalog.pg_class AS c
               WHERE c.relnamespace = 'imgvec'::regnamespace AND c.relname = %(view)s::name AND c.relkind = 'v'),
       coalesce((SELECT bool_and(has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'DELETE'))
                 FROM pg_catalog.pg_class AS c
                 WHERE c.relnamespace = 'imgvec'::regnamespace AND c.relname = ANY (%(tables)s::name[])), false),
       (SELECT count(*) FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = 'imgvec'::regnamespace AND c.relname = ANY (%(tables)s::name[])) = cardinality(%(tables)s::name[])
       AND EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
                   WHERE c.relnamespace = 'imgvec'::regnamespace AND c.relname = %(run_table)s::name AND a.attname = 'linkage')
