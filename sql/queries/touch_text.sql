-- Note that a cached text was used.
UPDATE imgvec.text_embedding SET used_at = now() WHERE model_id = %(model_id)s AND text = %(text)s;
