-- Make an alias.
INSERT INTO imgvec.alias (name, collection_id) VALUES (%(name)s, %(collection_id)s);
