-- Why rows of a collection could not be embedded: the position, from 1, of each key of %(keys)s that has a failure on record,
-- its code and its message.
SELECT k.position, f.code, f.message
FROM unnest(%(keys)s::jsonb[]) WITH ORDINALITY AS k(key, position)
JOIN imgvec.collection AS c ON c.name = %(collection)s
JOIN imgvec.failure AS f ON f.collection_id = c.id AND f.key = k.key AND f.code NOT IN ('no_image', 'blank', 'noted');
