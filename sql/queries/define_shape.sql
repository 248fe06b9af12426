-- Whether searches of a collection ask an index over its different pictures.
UPDATE imgvec.collection AS c SET by_picture = %(by_picture)s WHERE c.id = %(collection_id)s;
