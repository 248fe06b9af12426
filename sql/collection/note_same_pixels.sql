-- Say of pairs of pictures, by the hashes of their bytes, that their pixels are the same.
UPDATE imgvec.{duplicate_pair_table} AS p SET why = 'same pixels'
FROM unnest(%(hashes)s::bytea[], %(other_hashes)s::bytea[]) AS u(hash, other_hash)
WHERE p.content_hash = u.hash AND p.other_content_hash = u.other_hash AND p.why = 'near'
