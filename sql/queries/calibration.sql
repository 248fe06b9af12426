-- A collection's calibration: kind of pairs, their number, percentiles and distances.
SELECT s.pairs_of, s.pair_count, s.percentiles, s.distances
FROM imgvec.calibration AS s WHERE s.collection_id = %(collection_id)s ORDER BY s.pairs_of;
