-- The cached vector of a text, as text, and whether it is a day since its use was noted; no row where it was never embedded.
SELECT t.embedding::text, t.used_at < now() - interval '1 day'
FROM imgvec.text_embedding AS t WHERE t.model_id = %(model_id)s AND t.text = %(text)s;
