-- The cached vector of a text, as text; no row where it was never embedded.
SELECT t.embedding::text FROM imgvec.text_embedding AS t WHERE t.model_id = %(model_id)s AND t.text = %(text)s;
