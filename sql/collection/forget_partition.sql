BEGIN
    -- The source is looked up, since it may have been renamed.
    EXECUTE $statement$ DELETE FROM imgvec.{embedding_table} AS e WHERE NOT EXISTS (SELECT FROM $statement$
        || (SELECT c.source::text FROM imgvec.collection AS c WHERE c.id = {collection_id})
        || $statement$ AS s WHERE {e_equals_s}) $statement$;
EXCEPTION
    -- The owner of these functions may not read all of the source, or a column was renamed: left to
    -- `imgvec collection reconcile`.
    WHEN insufficient_privilege OR undefined_column THEN NULL;
END;
