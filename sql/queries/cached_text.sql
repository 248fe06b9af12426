-- The cached vector of a text, as text, whether it is a day since its use was noted, and what is to be said of it; no row where it
-- was never embedded.
SELECT t.embedding::text, t.used_at < now() - interval '1 day', t.note
FROM imgvec.text_embedding AS t WHERE t.model_id = %(model_id)s AND t.text = %(text)s;
