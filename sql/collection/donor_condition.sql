-- Whether a row e may give its vector to another with the same picture: of the same precision, and made since the collection has its
-- rendering. One text for the look-up and for its confirmation: where they differed, a row would be looked up and refused for ever.
e.precision = %(precision)s
AND e.embedded_at >= coalesce((SELECT c.rendering_since FROM imgvec.collection AS c WHERE c.id = {collection_id}), '-infinity')
