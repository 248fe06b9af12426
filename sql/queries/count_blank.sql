-- Rows of a collection whose picture is noted as blank, counted up to a limit.
SELECT count(*) FROM (
    SELECT FROM imgvec.failure AS f WHERE f.collection_id = %(collection_id)s AND f.code = 'blank' LIMIT %(most)s
) AS b;
