-- As enqueue_deleted.sql does, the keys that are no more.
        EXECUTE $statement$
            INSERT INTO imgvec.job (collection_id, version, keys)
            SELECT {collection_id}, nextval('imgvec.version_seq'), slice.keys
            FROM (
                SELECT jsonb_agg(gone.key) AS keys
                FROM (
                    SELECT {o_key} AS key, (row_number() OVER () - 1) / {keys_per_job} AS slice FROM old_rows AS o
                    WHERE NOT EXISTS (SELECT FROM new_rows AS n WHERE {n_equals_o})
                ) AS gone
                GROUP BY gone.slice
            ) AS slice
        $statement$;
