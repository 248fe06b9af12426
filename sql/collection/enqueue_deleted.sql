-- A worker that has read a row which goes here may write its vector when this has looked already: the keys are enqueued too,
    -- and the worker that then finds no row deletes what was written (forget_gone.sql).
    IF jsonb_array_length(few_keys) <= {keys_per_job} THEN
        INSERT INTO imgvec.job (collection_id, version, keys)
        VALUES ({collection_id}, nextval('imgvec.version_seq'), few_keys);
    ELSE
        INSERT INTO imgvec.job (collection_id, version, keys)
        SELECT {collection_id}, nextval('imgvec.version_seq'), slice.keys
        FROM (
            SELECT jsonb_agg(gone.key) AS keys
            FROM (SELECT {o_key} AS key, (row_number() OVER () - 1) / {keys_per_job} AS slice FROM old_rows AS o) AS gone
            GROUP BY gone.slice
        ) AS slice;
    END IF;
