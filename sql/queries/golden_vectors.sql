-- The golden vectors of a model as text. pgvector prints them in full; a real[] is rounded by the session's extra_float_digits.
SELECT g.kind, g.embedding::{vector}.vector::text FROM imgvec.golden_vector AS g
WHERE g.model_id = %(model_id)s
ORDER BY g.kind, g.position;
