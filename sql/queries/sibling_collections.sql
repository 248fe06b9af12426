-- Names of the other collections by the same model and with the same rendering, whose embeddings this role may read: pictures that they
-- have need not be computed again. Ids, in whose order locks are taken.
SELECT o.id, o.name
FROM imgvec.collection AS c JOIN imgvec.collection AS o ON o.model_id = c.model_id AND o.rendering = c.rendering AND o.id <> c.id
WHERE c.id = %(collection_id)s
  AND has_table_privilege(to_regclass('imgvec.' || quote_ident(o.name || '_embedding')), %(privilege)s)
ORDER BY o.id;
