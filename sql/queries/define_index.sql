-- What the registry says of a collection's index from now on. What was tuned for another index is forgotten.
UPDATE imgvec.collection AS c
SET m = %(m)s, ef_construction = %(ef_construction)s, quantization = %(quantization)s::text,
    index_method = %(index_method)s, lists = %(lists)s::integer,
    ef_search = CASE WHEN (c.m, c.ef_construction, c.index_method) = (%(m)s, %(ef_construction)s, %(index_method)s)
                      AND c.quantization IS NOT DISTINCT FROM %(quantization)s::text THEN c.ef_search END,
    probes = CASE WHEN c.index_method = %(index_method)s AND c.lists = %(lists)s::integer THEN c.probes END
WHERE c.id = %(collection_id)s;
