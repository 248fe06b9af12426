-- Register a model and return its id.
INSERT INTO imgvec.model AS m (name, dimensions, has_text) VALUES (%(name)s, %(dimensions)s, %(has_text)s)
ON CONFLICT (name) DO UPDATE SET name = m.name
RETURNING id, dimensions;
