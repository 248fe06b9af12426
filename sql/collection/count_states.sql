-- Embeddings, keys in the queue and rows that failed, of one collection.
SELECT (SELECT count(*) FROM imgvec.{embedding_table}) AS embedded,
       (SELECT coalesce(sum(jsonb_array_length(j.keys)), 0)::bigint FROM imgvec.job AS j
        WHERE j.collection_id = {collection_id}) AS queued,
       (SELECT count(*) FROM imgvec.failure AS f
        WHERE f.collection_id = {collection_id} AND f.code NOT IN ('no_image', 'blank', 'noted')) AS failed;
