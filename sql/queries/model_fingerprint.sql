-- The fingerprint on record for a model; null before the first backfill.
SELECT m.fingerprint FROM imgvec.model AS m WHERE m.id = %(model_id)s;
