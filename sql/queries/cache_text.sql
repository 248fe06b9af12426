-- Keep a text's vector, if the model on record is the one that made it.
INSERT INTO imgvec.text_embedding (model_id, text, embedding, note)
SELECT m.id, %(text)s, %(embedding)s::{vector}.halfvec, %(note)s
FROM imgvec.model AS m WHERE m.id = %(model_id)s AND m.fingerprint = %(fingerprint)s
ON CONFLICT (model_id, text) DO NOTHING;
