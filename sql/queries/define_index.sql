-- What the registry says of a collection's index from now on.
UPDATE imgvec.collection SET m = %(m)s, ef_construction = %(ef_construction)s, quantization = %(quantization)s
WHERE id = %(collection_id)s;
