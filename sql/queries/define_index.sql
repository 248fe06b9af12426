-- What the registry says of a collection's index from now on. An ef_search tuned for another index is forgotten.
UPDATE imgvec.collection AS c
SET m = %(m)s, ef_construction = %(ef_construction)s, quantization = %(quantization)s::text,
    ef_search = CASE WHEN (c.m, c.ef_construction) = (%(m)s, %(ef_construction)s)
                      AND c.quantization IS NOT DISTINCT FROM %(quantization)s::text THEN c.ef_search END
WHERE c.id = %(collection_id)s;
