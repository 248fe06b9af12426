-- Pairs by number (imgvec_near: first, second, distance) become rows of the pair table: the lower key first.
-- A hash is empty where an application computed the vector, and nobody knows of what bytes.
INSERT INTO imgvec.{duplicate_pair_table} ({keys}, {other_keys}, content_hash, other_content_hash, distance, why)
SELECT {a_keys}, {b_keys}, a.imgvec_hash, b.imgvec_hash, n.distance,
       CASE WHEN a.imgvec_hash = b.imgvec_hash AND a.imgvec_hash <> '' THEN 'same bytes' ELSE 'near' END
FROM pg_temp.imgvec_near AS n
JOIN pg_temp.imgvec_row AS x ON x.imgvec_number = n.first
JOIN pg_temp.imgvec_row AS y ON y.imgvec_number = n.second
JOIN pg_temp.imgvec_row AS a ON a.imgvec_place = LEAST(x.imgvec_place, y.imgvec_place)
JOIN pg_temp.imgvec_row AS b ON b.imgvec_place = GREATEST(x.imgvec_place, y.imgvec_place)
