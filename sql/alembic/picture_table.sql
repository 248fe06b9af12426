-- The table of a collection's different pictures, where its index is over these; no row else, and for none in an older schema.
SELECT c.name || '_picture' FROM imgvec.collection AS c
WHERE c.name = :name AND (to_jsonb(c) ->> 'by_picture')::boolean;
