-- The version by which a collection's pictures are rendered.
SELECT c.rendering FROM imgvec.collection AS c WHERE c.id = %(collection_id)s;
