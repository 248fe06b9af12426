-- Rows embedded and rows failed since %(began)s, by whomever.
SELECT (SELECT count(*) FROM imgvec.{embedding_table} AS e WHERE e.embedded_at >= %(began)s),
       (SELECT count(*) FROM imgvec.failure AS f
        WHERE f.collection_id = {collection_id} AND f.failed_at >= %(began)s AND f.code NOT IN ('no_image', 'blank', 'noted'));
