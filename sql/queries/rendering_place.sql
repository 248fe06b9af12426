-- Where `imgvec retry --rendering` is: the version of rows not compared yet, the moment they were embedded before, the last key compared.
SELECT c.rendering_from, c.rendering_since, c.rendering_after FROM imgvec.collection AS c
WHERE c.id = %(collection_id)s AND c.rendering_from IS NOT NULL;
