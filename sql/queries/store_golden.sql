-- Store the golden vectors of a model that has none of this kind yet.
INSERT INTO imgvec.golden_vector (model_id, kind, position, embedding, precision)
VALUES (%(model_id)s, %(kind)s, %(position)s, %(embedding)s, %(precision)s)
ON CONFLICT DO NOTHING;
