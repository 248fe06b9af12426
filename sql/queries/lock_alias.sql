-- Keep others from switching an alias meanwhile, and return what it points to.
SELECT a.collection_id FROM imgvec.alias AS a WHERE a.name = %(name)s FOR UPDATE;
