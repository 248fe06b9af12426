-- Whether what has this name is the source of a collection: asked before a superuser's statement names it, since planning alone would run
-- what a view in its place calls.
SELECT pg_catalog.to_regclass(%(source_name)s)::oid = c.source::oid FROM imgvec.collection AS c WHERE c.id = %(collection_id)s;
