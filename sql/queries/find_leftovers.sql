-- Rows of the library's tables that belong to no collection any more: by table.
SELECT (SELECT count(*) FROM imgvec.job AS j
        WHERE NOT EXISTS (SELECT FROM imgvec.collection AS c WHERE c.id = j.collection_id)) AS jobs,
       (SELECT count(*) FROM imgvec.failure AS f
        WHERE NOT EXISTS (SELECT FROM imgvec.collection AS c WHERE c.id = f.collection_id)) AS failures;
