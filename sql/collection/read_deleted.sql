-- Where no foreign key keeps the vectors of deleted rows out, see enqueue_deleted.sql.
        SELECT jsonb_agg(few.key) INTO few_keys FROM (SELECT {o_key} AS key FROM old_rows AS o LIMIT {keys_per_job} + 1) AS few;
        IF few_keys IS NULL THEN
            RETURN NULL;
        END IF;
