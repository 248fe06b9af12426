-- Planning a statement over the source must run nothing of its owner's here; where the owner of these functions may not read all of it,
        -- that fails too.
        IF (SELECT {runs_when_planned} FROM imgvec.collection AS c WHERE c.id = {collection_id}) THEN
            RAISE insufficient_privilege USING MESSAGE = 'indexes of the source call functions of its owner';
        END IF;
        -- The source is looked up, since it may have been renamed.
        EXECUTE $statement$ DELETE FROM imgvec.{embedding_table} AS e WHERE NOT EXISTS (SELECT FROM $statement$
            || (SELECT c.source::text FROM imgvec.collection AS c WHERE c.id = {collection_id})
            || $statement$ AS s WHERE {e_equals_s}) $statement$;
