-- Two lists of keys, JSON objects, fused by reciprocal rank: key, score, rank in the first and in the second.
SELECT f.key, f.score, f.first_rank, f.second_rank
FROM imgvec.fuse(%(first)s::jsonb[], %(second)s::jsonb[], %(rank_constant)s) AS f;
