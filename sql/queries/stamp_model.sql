-- The first worker that loads a model records its fingerprint; returns the one on record.
WITH stamped AS (
    UPDATE imgvec.model
    SET fingerprint = %(fingerprint)s, weights_sha256 = %(weights_sha256)s, logit_scale = %(logit_scale)s, logit_bias = %(logit_bias)s
    WHERE id = %(model_id)s AND fingerprint IS NULL
    RETURNING fingerprint
)
SELECT fingerprint FROM stamped
UNION ALL
SELECT fingerprint FROM imgvec.model WHERE id = %(model_id)s AND fingerprint IS NOT NULL;
