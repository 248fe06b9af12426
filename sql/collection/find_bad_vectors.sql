-- Embeddings that the table's own CHECK and type would refuse today: of another norm than 1, of NaN or of another length. They
-- come from a restore without constraints, or one that was dropped. Kind, number, up to %(examples)s keys.
SELECT 'bad_vector', count(*), jsonb_agg(n.key) FILTER (WHERE n.place <= %(examples)s)
FROM (
    SELECT {e_key} AS key, row_number() OVER () AS place FROM imgvec.{embedding_table} AS e
    WHERE NOT ({vector}.vector_dims(e.embedding) = {dimensions} AND {vector}.l2_norm(e.embedding) BETWEEN 0.999 AND 1.001)
) AS n
HAVING count(*) > 0;
