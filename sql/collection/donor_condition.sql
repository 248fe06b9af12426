-- Whether a row e may give its vector to another with the same picture: of the same precision, and made since its collection has its
-- rendering, which is that of the other row's. One text for the look-up and for its confirmation: where they differed, a row would be
-- looked up and refused for ever.
e.precision = %(precision)s
AND e.embedded_at >= (SELECT coalesce(c.rendering_since, '-infinity') FROM imgvec.collection AS c
                      WHERE c.id = {collection_id} AND c.rendering = %(rendering)s)
