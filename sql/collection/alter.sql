-- Change what a collection allows its workers to read: {settings} are root, url_prefixes or both. Its embeddings stay.
UPDATE imgvec.collection AS c SET {settings} WHERE c.name = {collection_name};
