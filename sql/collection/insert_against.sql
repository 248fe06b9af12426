-- Pairs of two collections, by number (imgvec_near): rows of the first (imgvec_first) and of the other (imgvec_row).
INSERT INTO imgvec.{against_table} ({keys}, {other_keys}, content_hash, other_content_hash, distance, why)
SELECT {a_keys}, {b_keys_of_other}, a.imgvec_hash, b.imgvec_hash, n.distance,
       CASE WHEN a.imgvec_hash = b.imgvec_hash AND a.imgvec_hash <> '' THEN 'same bytes' ELSE 'near' END
FROM pg_temp.imgvec_near AS n
JOIN pg_temp.imgvec_first AS a ON a.imgvec_number = n.first
JOIN pg_temp.imgvec_row AS b ON b.imgvec_number = n.second
