-- The golden vectors of a model.
SELECT g.kind, g.embedding, g.precision FROM imgvec.golden_vector AS g
WHERE g.model_id = %(model_id)s
ORDER BY g.kind, g.position;
