-- The distance that this share in per cent of random pairs does not exceed.
SELECT imgvec.distance_at(%(collection)s, %(percentile)s, %(pairs_of)s);
