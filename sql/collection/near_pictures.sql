-- Pairs so near that their pictures may have the same pixels, of different bytes: hash and key of both, each pair of pictures once.
SELECT DISTINCT ON (p.content_hash, p.other_content_hash) p.content_hash, {e_key} AS key, p.other_content_hash, {x_key} AS other_key
FROM imgvec.{duplicate_pair_table} AS p
JOIN imgvec.{embedding_table} AS e ON {e_equals_p} AND e.content_hash = p.content_hash
JOIN imgvec.{embedding_table} AS x ON {x_equals_p_other} AND x.content_hash = p.other_content_hash
WHERE p.why = 'near' AND p.distance <= %(distance)s AND p.content_hash <> '' AND p.other_content_hash <> ''
ORDER BY p.content_hash, p.other_content_hash
