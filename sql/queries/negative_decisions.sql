-- Pairs of pictures, by the hashes of their bytes, that somebody decided to be no duplicates to ask about.
SELECT d.content_hash, d.other_content_hash FROM imgvec.duplicate_decision AS d WHERE d.decision <> 'same'
