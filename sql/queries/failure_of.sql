-- Why a row of a collection could not be embedded; none where it could, or waits.
SELECT f.code, f.message FROM imgvec.failure AS f JOIN imgvec.collection AS c ON c.id = f.collection_id
WHERE c.name = %(collection)s AND f.key = %(key)s::jsonb;
