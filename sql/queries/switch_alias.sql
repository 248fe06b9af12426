-- Point an alias to another collection, and note what it pointed to.
UPDATE imgvec.alias AS a
SET previous_id = a.collection_id, collection_id = %(collection_id)s, switched_at = now()
WHERE a.name = %(name)s;
