-- Models on record with their golden vectors' count and collections; %(name)s is null for all.
SELECT m.id, m.name, m.dimensions, m.has_text, m.fingerprint, m.weights_sha256, m.logit_scale, m.logit_bias,
       m.images_per_second,
       (SELECT count(*) FROM imgvec.golden_vector AS g WHERE g.model_id = m.id) AS golden_count,
       ARRAY(SELECT c.name FROM imgvec.collection AS c WHERE c.model_id = m.id ORDER BY c.name) AS collections
FROM imgvec.model AS m
WHERE %(name)s::text IS NULL OR m.name = %(name)s
ORDER BY m.name;
